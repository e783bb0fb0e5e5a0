#include "lb/reconcile/access.h"

#include <algorithm>

#include "lb/dataplane/keys.h"

namespace lbd::reconcile {
namespace {

std::vector<std::uint64_t> bits_of(const std::set<IpAddress>& addresses) {
  std::vector<std::uint64_t> words((1U << ADDRESS_FILTER_BITS) / 64);
  for (const IpAddress& address : addresses) {
    const std::uint32_t bit = dataplane::address_bit_of(address);
    words[bit / 64] |= std::uint64_t{1} << bit % 64;
  }
  return words;
}

using Scoped = std::pair<std::uint32_t, Prefix>;

template <class Key>
Result<> collect(const dataplane::PrefixSet<Key>& trie, std::set<Scoped>& held) {
  auto keys = trie.keys();
  if (!keys) return std::move(keys).error();
  for (const Key& key : *keys) held.emplace(key.scope, dataplane::prefix_of(key));
  return {};
}

Result<std::set<Scoped>> held_prefixes(Writer& writer) {
  std::set<Scoped> held;
  if (auto read = collect(writer.tables().allow4, held); !read) return std::move(read).error();
  if (auto read = collect(writer.tables().allow6, held); !read) return std::move(read).error();
  return held;
}

Result<> add(Writer& writer, const Scoped& wanted) {
  const auto& [scope, prefix] = wanted;
  writer.store().count();
  if (prefix.address.is_v4())
    return writer.tables().allow4.insert(dataplane::allow_key4_of(scope, prefix));
  return writer.tables().allow6.insert(dataplane::allow_key6_of(scope, prefix));
}

Result<> remove(Writer& writer, const Scoped& unwanted) {
  const auto& [scope, prefix] = unwanted;
  writer.store().count();
  auto erased = prefix.address.is_v4()
                    ? writer.tables().allow4.erase(dataplane::allow_key4_of(scope, prefix))
                    : writer.tables().allow6.erase(dataplane::allow_key6_of(scope, prefix));
  if (!erased) return std::move(erased).error();
  return {};
}

}  // namespace

bool allows_all(const std::vector<Prefix>& prefixes, IpAddress::Family family) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](const Prefix& prefix) {
    return prefix.length == 0 && prefix.address.family() == family;
  });
}

Result<> add_allowed(Writer& writer, const AllowLists& wanted) {
  auto held = held_prefixes(writer);
  if (!held) return std::move(held).error();
  for (const Scoped& prefix : wanted.prefixes)
    if (!held->contains(prefix))
      if (auto added = add(writer, prefix); !added)
        return std::move(added).error().in("allow " + prefix.second.str());
  return {};
}

Result<> remove_not_allowed(Writer& writer, const AllowLists& wanted) {
  auto held = held_prefixes(writer);
  if (!held) return std::move(held).error();
  bool waited = false;
  for (const Scoped& prefix : *held) {
    if (wanted.prefixes.contains(prefix)) continue;
    if (!waited)
      if (auto grace = writer.grace(); !grace) return grace;
    waited = true;
    if (auto removed = remove(writer, prefix); !removed)
      return std::move(removed).error().in("disallow " + prefix.second.str());
  }
  return {};
}

std::set<IpAddress> reachable(const std::set<IpAddress>& local) {
  std::set<IpAddress> addresses = local;
  std::erase_if(addresses, [](const IpAddress& address) { return address.is_loopback(); });
  return addresses;
}

Result<> set_locals(Writer& writer, const std::set<IpAddress>& wanted) {
  const auto& locals = writer.tables().locals;
  std::set<IpAddress> held;
  auto read = locals.for_each(
      [&](const abi::local_key& key, std::uint8_t) { held.insert(dataplane::address_of(key)); });
  if (!read) return read;
  for (const IpAddress& address : wanted) {
    if (held.contains(address)) continue;
    writer.store().count();
    if (auto added = locals.put(dataplane::local_key_of(address), 1); !added) return added;
  }
  for (const IpAddress& address : held) {
    if (wanted.contains(address)) continue;
    writer.store().count();
    if (auto erased = locals.erase(dataplane::local_key_of(address)); !erased)
      return std::move(erased).error();
  }
  return {};
}

void open_filter(Writer& writer, const std::set<IpAddress>& addresses) {
  const auto bits = bits_of(addresses);
  const auto& filter = writer.tables().address_filter;
  for (std::size_t i = 0; i < bits.size(); i++) writer.store().put(filter[i], filter[i] | bits[i]);
}

void close_filter(Writer& writer, const std::set<IpAddress>& addresses) {
  const auto bits = bits_of(addresses);
  const auto& filter = writer.tables().address_filter;
  for (std::size_t i = 0; i < bits.size(); i++) writer.store().put(filter[i], bits[i]);
}

}  // namespace lbd::reconcile
