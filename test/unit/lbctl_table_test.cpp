#include <catch2/catch.hpp>
#include <cstdint>

#include "lbctl/table.h"

using namespace lbd::lbctl;

TEST_CASE("a table's columns are as wide as their widest cell, and no line ends in spaces") {
  Table table{{{"NAME"}, {"PACKETS", Align::right}, {"WHY"}}};
  CHECK(table.empty());
  table.add({"web", "1", ""});
  table.add({"a-long-one", "12345678", "drained"});
  CHECK_FALSE(table.empty());
  CHECK(table.str() ==
        "NAME         PACKETS  WHY\n"
        "web                1  -\n"
        "a-long-one  12345678  drained\n");
}

TEST_CASE("a table without rows is its titles") {
  CHECK(Table{{{"A"}, {"B", Align::right}}}.str() == "A  B\n");
}

TEST_CASE("a table that is taken while it grows has its titles once and never gets narrower") {
  Table table{{{"NAME"}, {"COUNT", Align::right}}};
  table.add({"a-long-one", "1"});
  CHECK(table.take() ==
        "NAME        COUNT\n"
        "a-long-one      1\n");
  CHECK(table.empty());
  CHECK(table.take() == "");
  table.add({"b", "1234567"});
  CHECK(table.take() == "b           1234567\n");
  table.add({"c", "1"});
  CHECK(table.take() == "c                 1\n");
}

TEST_CASE("bytes have the unit that leaves a number below 1024") {
  struct Case {
    std::uint64_t bytes;
    const char* text;
  };
  const Case cases[] = {
      {0, "0 B"},           {1023, "1023 B"},     {1024, "1.0 KiB"},        {1536, "1.5 KiB"},
      {1048575, "1.0 MiB"}, {1048576, "1.0 MiB"}, {UINT64_MAX, "16.0 EiB"},
  };
  for (const Case& c : cases) CHECK(bytes_text(c.bytes) == c.text);
}

TEST_CASE("counts have their thousands apart") {
  struct Case {
    std::uint64_t count;
    const char* text;
  };
  const Case cases[] = {
      {0, "0"},
      {999, "999"},
      {1000, "1,000"},
      {1234567, "1,234,567"},
      {UINT64_MAX, "18,446,744,073,709,551,615"},
  };
  for (const Case& c : cases) CHECK(count_text(c.count) == c.text);
}

TEST_CASE("a duration has its two biggest units") {
  struct Case {
    std::uint64_t seconds;
    const char* text;
  };
  const Case cases[] = {
      {0, "0s"},       {59, "59s"},        {60, "1m 0s"},    {3599, "59m 59s"},
      {3600, "1h 0m"}, {86399, "23h 59m"}, {86400, "1d 0h"}, {90000, "1d 1h"},
  };
  for (const Case& c : cases) CHECK(duration_text(c.seconds) == c.text);
}
