#include "lb/dataplane/interfaces.h"

#include <algorithm>

namespace lbd::dataplane {

bool Interfaces::replace(std::vector<netlink::Link> links,
                         const std::vector<netlink::Address>& addresses) {
  Interfaces fresh;
  for (netlink::Link& link : links) fresh.links_.emplace(link.ifindex, std::move(link));
  for (const netlink::Address& address : addresses) {
    fresh.addresses_[address.ifindex].push_back(address);
    fresh.add_local(address.address);
  }
  if (fresh == *this) return false;
  *this = std::move(fresh);
  return true;
}

bool Interfaces::apply(const netlink::LinkEvent& event) {
  const std::uint32_t ifindex = event.link.ifindex;
  if (!event.gone) {
    netlink::Link& link = links_[ifindex];
    if (link == event.link) return false;
    link = event.link;
    return true;
  }
  if (const auto held = addresses_.find(ifindex); held != addresses_.end()) {
    for (const netlink::Address& address : held->second) remove_local(address.address);
    addresses_.erase(held);
  }
  return links_.erase(ifindex) != 0;
}

bool Interfaces::apply(const netlink::AddressEvent& event) {
  const netlink::Address& address = event.address;
  if (event.gone && addresses_.find(address.ifindex) == addresses_.end()) return false;
  auto& held = addresses_[address.ifindex];
  // The kernel, too, lets an interface have an address twice with different prefixes.
  const auto known = std::find_if(held.begin(), held.end(), [&](const netlink::Address& other) {
    return other.address == address.address && other.prefix_length == address.prefix_length;
  });
  if (event.gone) {
    if (known == held.end()) return false;
    held.erase(known);
    if (held.empty()) addresses_.erase(address.ifindex);
    remove_local(address.address);
    return true;
  }
  if (known != held.end()) {
    if (*known == address) return false;
    *known = address;
    return true;
  }
  held.push_back(address);
  add_local(address.address);
  return true;
}

const netlink::Link* Interfaces::find(std::uint32_t ifindex) const {
  const auto found = links_.find(ifindex);
  return found == links_.end() ? nullptr : &found->second;
}

std::optional<IpAddress> Interfaces::source(std::uint32_t ifindex, IpAddress::Family family) const {
  const auto held = addresses_.find(ifindex);
  if (held == addresses_.end()) return {};
  for (const netlink::Address& address : held->second)
    if (address.good_source && address.address.family() == family) return address.address;
  return {};
}

void Interfaces::add_local(const IpAddress& address) {
  holders_[address]++;
  local_.insert(address);
}

void Interfaces::remove_local(const IpAddress& address) {
  const auto held = holders_.find(address);
  if (held == holders_.end() || --held->second != 0) return;
  holders_.erase(held);
  local_.erase(address);
}

}  // namespace lbd::dataplane
