#include "lb/model/address.h"

#include <catch2/catch.hpp>

using lbd::IpAddress;
using lbd::Mac;
using lbd::Prefix;

TEST_CASE("addresses are read, and written by RFC 5952") {
  struct Case {
    const char* text;
    const char* written;  // null: refused
  };
  const Case cases[] = {
      {"10.0.0.1", "10.0.0.1"},
      {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
      {"::", "::"},
      {"::ffff:10.0.0.1", nullptr},
      {"10.0.0", nullptr},
      {"10.0.0.256", nullptr},
      {"10.0.0.1/8", nullptr},
      {"fe80::1%eth0", nullptr},
      {"", nullptr},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    const auto address = IpAddress::parse(c.text);
    REQUIRE(address.has_value() == (c.written != nullptr));
    if (address) CHECK(address->str() == c.written);
  }
}

TEST_CASE("prefixes have no host bits and contain what they cover") {
  struct Case {
    const char* prefix;
    const char* address;
    bool contained;
  };
  const Case cases[] = {
      {"10.0.0.0/8", "10.255.0.1", true},
      {"10.0.0.0/8", "11.0.0.1", false},
      {"0.0.0.0/0", "1.2.3.4", true},
      {"0.0.0.0/0", "::1", false},
      {"2001:db8::/33", "2001:db8:7fff::", true},
      {"2001:db8::/33", "2001:db8:8000::", false},
      {"10.0.0.1", "10.0.0.1", true},
      {"10.0.0.1", "10.0.0.0", false},
  };
  for (const Case& c : cases) {
    INFO(c.prefix << " " << c.address);
    const auto prefix = Prefix::parse(c.prefix);
    REQUIRE(prefix.has_value());
    CHECK(prefix->contains(*IpAddress::parse(c.address)) == c.contained);
  }
  for (const char* bad : {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "x/8"})
    CHECK_FALSE(Prefix::parse(bad).has_value());
}

TEST_CASE("MAC addresses are six pairs of digits") {
  CHECK(Mac::parse("02:00:00:aB:00:01")->str() == "02:00:00:ab:00:01");
  for (const char* bad :
       {"", "02:00:00:00:00", "02:00:00:00:00:0g", "02-00-00-00-00-01", "2:0:0:0:0:1"})
    CHECK_FALSE(Mac::parse(bad).has_value());
}
