#include "lb/dataplane/netlink.h"

#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cerrno>
#include <cstring>

namespace lbd::dataplane::netlink {
namespace {

// The kernel answers in messages of 32 KiB at most (NLMSG_GOODSIZE is less, a dump may use more).
constexpr std::size_t receive_size = 32768;
constexpr std::size_t request_size = 128;
constexpr std::size_t requests_at_once = 32;
constexpr int dump_attempts = 10;
constexpr int messages_at_once = 1024;

// NDA_PROTOCOL of neighbours that lbd had managed: by it a later process finds them.
constexpr std::uint8_t made_by_lbd = 108;

constexpr std::uint16_t states_with_mac =
    NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;

// ---- Messages to values ----

/// A message's attributes by type. Types beyond those that this file reads are left out.
class Attributes {
 public:
  Attributes(const nlmsghdr& message, std::size_t header_size)
      : Attributes{static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(&message, header_size)),
                   mnl_nlmsg_get_payload_len(&message) - MNL_ALIGN(header_size)} {}
  explicit Attributes(const nlattr& outer)
      : Attributes{static_cast<const nlattr*>(mnl_attr_get_payload(&outer)),
                   mnl_attr_get_payload_len(&outer)} {}

  [[nodiscard]] const nlattr* find(std::size_t type) const { return by_type_.at(type); }
  [[nodiscard]] std::span<const std::uint8_t> bytes(std::size_t type) const {
    const nlattr* attribute = find(type);
    if (attribute == nullptr) return {};
    return {static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute)),
            mnl_attr_get_payload_len(attribute)};
  }
  [[nodiscard]] std::optional<std::uint32_t> number(std::size_t type) const {
    const auto from = bytes(type);
    std::uint32_t value = 0;
    if (from.size() != sizeof(value)) return {};
    std::memcpy(&value, from.data(), sizeof(value));
    return value;
  }

 private:
  Attributes(const nlattr* first, std::size_t size) {
    const auto* end = reinterpret_cast<const char*>(first) + size;
    for (const nlattr* at = first;
         mnl_attr_ok(at, static_cast<int>(end - reinterpret_cast<const char*>(at)));
         at = mnl_attr_next(at)) {
      const std::size_t type = mnl_attr_get_type(at);
      if (type < by_type_.size()) by_type_[type] = at;
    }
  }

  std::array<const nlattr*, 64> by_type_{};
};

template <class Header>
const Header* header_of(const nlmsghdr& message) {
  if (mnl_nlmsg_get_payload_len(&message) < sizeof(Header)) return nullptr;
  return static_cast<const Header*>(mnl_nlmsg_get_payload(&message));
}

/// Nothing where the bytes are no address of that family.
std::optional<IpAddress> address_of(int family, std::span<const std::uint8_t> bytes) {
  if (family == AF_INET && bytes.size() == 4) {
    std::array<std::uint8_t, 4> four{};
    std::copy(bytes.begin(), bytes.end(), four.begin());
    return IpAddress::v4(four);
  }
  if (family == AF_INET6 && bytes.size() == 16) {
    std::array<std::uint8_t, 16> sixteen{};
    std::copy(bytes.begin(), bytes.end(), sixteen.begin());
    return IpAddress::v6(sixteen);
  }
  return {};
}

std::optional<Mac> mac_of(std::span<const std::uint8_t> bytes) {
  Mac mac;
  if (bytes.size() != mac.bytes.size()) return {};
  std::copy(bytes.begin(), bytes.end(), mac.bytes.begin());
  return mac;
}

std::optional<Link> link_of(const nlmsghdr& message) {
  const auto* header = header_of<ifinfomsg>(message);
  // Bridges tell of their ports in the same group, under their own family.
  if (header == nullptr || header->ifi_family != AF_UNSPEC) return {};
  const Attributes attributes{message, sizeof(*header)};
  Link link{.ifindex = static_cast<std::uint32_t>(header->ifi_index),
            .name = {},
            .mac = {},
            .mtu = attributes.number(IFLA_MTU).value_or(0),
            .up = (header->ifi_flags & IFF_UP) != 0,
            .carrier = (header->ifi_flags & IFF_LOWER_UP) != 0};
  if (const nlattr* name = attributes.find(IFLA_IFNAME); name != nullptr) {
    const std::string_view text{mnl_attr_get_str(name), mnl_attr_get_payload_len(name)};
    link.name = text.substr(0, text.find('\0'));
  }
  if (header->ifi_type == ARPHRD_ETHER) link.mac = mac_of(attributes.bytes(IFLA_ADDRESS));
  return link;
}

std::optional<Address> interface_address_of(const nlmsghdr& message) {
  const auto* header = header_of<ifaddrmsg>(message);
  if (header == nullptr) return {};
  const Attributes attributes{message, sizeof(*header)};
  // On a point-to-point link IFA_ADDRESS is the peer's.
  auto address = address_of(header->ifa_family, attributes.bytes(IFA_LOCAL));
  if (!address) address = address_of(header->ifa_family, attributes.bytes(IFA_ADDRESS));
  if (!address) return {};
  const std::uint32_t flags = attributes.number(IFA_FLAGS).value_or(header->ifa_flags);
  return Address{.ifindex = header->ifa_index,
                 .address = *address,
                 .prefix_length = header->ifa_prefixlen,
                 .good_source = header->ifa_scope == RT_SCOPE_UNIVERSE &&
                                (flags & (IFA_F_TENTATIVE | IFA_F_DEPRECATED)) == 0};
}

std::optional<Neighbor> neighbor_of(const nlmsghdr& message) {
  const auto* header = header_of<ndmsg>(message);
  if (header == nullptr || (header->ndm_flags & NTF_PROXY) != 0) return {};
  const Attributes attributes{message, sizeof(*header)};
  const auto address = address_of(header->ndm_family, attributes.bytes(NDA_DST));
  if (!address) return {};  // a bridge's forwarding entry comes in the same group
  Neighbor neighbor;
  neighbor.hop = {static_cast<std::uint32_t>(header->ndm_ifindex), *address};
  if ((header->ndm_state & states_with_mac) != 0)
    neighbor.mac = mac_of(attributes.bytes(NDA_LLADDR));
  neighbor.failed = (header->ndm_state & NUD_FAILED) != 0;
  neighbor.foreign = (header->ndm_state & (NUD_PERMANENT | NUD_NOARP)) != 0 ||
                     (header->ndm_flags & NTF_EXT_LEARNED) != 0;
  neighbor.managed = (attributes.number(NDA_FLAGS_EXT).value_or(0) & NTF_EXT_MANAGED) != 0;
  return neighbor;
}

std::optional<NextHop> kept_hop_of(const nlmsghdr& message) {
  const auto neighbor = neighbor_of(message);
  if (!neighbor || !neighbor->managed || neighbor->foreign) return {};
  const auto protocol = Attributes{message, sizeof(ndmsg)}.bytes(NDA_PROTOCOL);
  if (protocol.size() != 1 || protocol[0] != made_by_lbd) return {};
  return neighbor->hop;
}

std::string_view why_unusable(unsigned route_type) {
  switch (route_type) {
    case RTN_LOCAL:
      return "the address is this node's own";
    case RTN_BROADCAST:
    case RTN_ANYCAST:
    case RTN_MULTICAST:
      return "not the address of one host";
    case RTN_BLACKHOLE:
      return "a blackhole route";
    case RTN_UNREACHABLE:
      return "an unreachable route";
    case RTN_PROHIBIT:
      return "a prohibiting route";
    default:
      return "a route of another kind than unicast";
  }
}

std::optional<IpAddress> gateway_of(int family, const Attributes& attributes) {
  if (attributes.find(RTA_GATEWAY) != nullptr)
    return address_of(family, attributes.bytes(RTA_GATEWAY));
  // An IPv4 route by way of an IPv6 gateway (RFC 5549).
  const auto via = attributes.bytes(RTA_VIA);
  std::uint16_t via_family = 0;
  if (via.size() < sizeof(via_family)) return {};
  std::memcpy(&via_family, via.data(), sizeof(via_family));
  return address_of(via_family, via.subspan(sizeof(via_family)));
}

Result<Path> path_of(const nlmsghdr& message, const IpAddress& destination) {
  const auto* header = header_of<rtmsg>(message);
  if (message.nlmsg_type != RTM_NEWROUTE || header == nullptr) return Error{"no route in answer"};
  if (header->rtm_type != RTN_UNICAST) return Error{std::string{why_unusable(header->rtm_type)}};
  const Attributes attributes{message, sizeof(*header)};
  const auto interface = attributes.number(RTA_OIF);
  if (!interface) return Error{"the route has no interface"};
  if (attributes.find(RTA_ENCAP) != nullptr) return Error{"the route encapsulates by itself"};

  Path path;
  path.hop = {*interface, gateway_of(header->rtm_family, attributes).value_or(destination)};
  path.source = address_of(header->rtm_family, attributes.bytes(RTA_PREFSRC));
  if (const nlattr* metrics = attributes.find(RTA_METRICS); metrics != nullptr)
    path.mtu = Attributes{*metrics}.number(RTAX_MTU);
  return path;
}

/// The errno of an error message, 0 of an acknowledgement, nothing of all others.
std::optional<int> error_of(const nlmsghdr& message) {
  if (message.nlmsg_type != NLMSG_ERROR) return {};
  const auto* header = header_of<nlmsgerr>(message);
  return header == nullptr ? EBADMSG : -header->error;
}

std::optional<Event> event_of(const nlmsghdr& message) {
  switch (message.nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      if (auto link = link_of(message))
        return LinkEvent{std::move(*link), message.nlmsg_type == RTM_DELLINK};
      return {};
    case RTM_NEWADDR:
    case RTM_DELADDR:
      if (const auto address = interface_address_of(message))
        return AddressEvent{*address, message.nlmsg_type == RTM_DELADDR};
      return {};
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      if (const auto neighbor = neighbor_of(message))
        return NeighborEvent{*neighbor, message.nlmsg_type == RTM_DELNEIGH};
      return {};
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
    case RTM_NEWRULE:
    case RTM_DELRULE:
    case RTM_NEWNEXTHOP:
    case RTM_DELNEXTHOP:
      return RouteEvent{};
    default:
      return {};
  }
}

// ---- Sockets ----

Result<Socket> open_socket(int flags, int receive_bytes) {
  Socket socket{mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags), mnl_socket_close};
  if (!socket) return errno_error("open netlink socket", errno);
  const int fd = mnl_socket_get_fd(socket.get());
  // Without CAP_NET_ADMIN the system's limit holds; an overrun then comes earlier, and is noticed.
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_bytes, sizeof(receive_bytes)) != 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
  // Dumps are filtered, and wrong questions refused, by kernels that can (4.20).
  int on = 1;
  mnl_socket_setsockopt(socket.get(), NETLINK_GET_STRICT_CHK, &on, sizeof(on));
  mnl_socket_setsockopt(socket.get(), NETLINK_CAP_ACK, &on, sizeof(on));
  if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) != 0)
    return errno_error("bind netlink socket", errno);
  return socket;
}

using Buffer = std::array<char, receive_size>;

/// Bytes of one datagram, which `buffer` then holds: 0 if it was not the kernel's; or -errno.
int receive(int fd, Buffer& buffer) {
  sockaddr_nl from{};
  socklen_t from_size = sizeof(from);
  ssize_t size = 0;
  do {
    size = recvfrom(fd, buffer.data(), buffer.size(), MSG_TRUNC, reinterpret_cast<sockaddr*>(&from),
                    &from_size);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return -errno;
  if (static_cast<std::size_t>(size) > buffer.size()) return -EMSGSIZE;
  return from.nl_pid == 0 ? static_cast<int>(size) : 0;
}

template <class Handle>
void for_each_message(const Buffer& buffer, int size, Handle handle) {
  const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
  for (int left = size; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
    handle(*message);
}

/// Sends one request an index below `count`, as `put` writes it, and gives `answer` the one
/// message that answers it.
template <class Put, class Answer>
Result<> exchange(mnl_socket* socket, std::uint32_t& sequence, std::size_t count, Put put,
                  Answer answer) {
  alignas(nlmsghdr) std::array<char, requests_at_once * request_size> out{};
  alignas(nlmsghdr) Buffer in;
  for (std::size_t first = 0; first < count; first += requests_at_once) {
    const std::size_t requests = std::min(requests_at_once, count - first);
    const std::uint32_t first_sequence = sequence;
    sequence += static_cast<std::uint32_t>(requests);
    std::size_t size = 0;
    for (std::size_t i = 0; i < requests; i++) {
      nlmsghdr* message = mnl_nlmsg_put_header(out.data() + size);
      message->nlmsg_seq = first_sequence + static_cast<std::uint32_t>(i);
      put(first + i, message);
      size += MNL_ALIGN(message->nlmsg_len);
    }
    if (mnl_socket_sendto(socket, out.data(), size) < 0)
      return errno_error("send to netlink", errno);
    for (std::bitset<requests_at_once> answered; answered.count() < requests;) {
      const int received = receive(mnl_socket_get_fd(socket), in);
      if (received < 0) return errno_error("receive from netlink", -received);
      for_each_message(in, received, [&](const nlmsghdr& message) {
        const std::size_t index = message.nlmsg_seq - first_sequence;
        if (index >= requests) return;  // a late answer to what an error broke off
        answered.set(index);
        answer(first + index, message);
      });
    }
  }
  return {};
}

/// One pass of a dump; true where the kernel says that it changed meanwhile.
template <class Handle>
Result<bool> dump_once(mnl_socket* socket, std::uint32_t sequence, nlmsghdr* request,
                       Handle handle) {
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request->nlmsg_seq = sequence;
  if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
    return errno_error("send to netlink", errno);
  alignas(nlmsghdr) Buffer in;
  bool done = false;
  bool interrupted = false;
  int failure = 0;
  while (!done) {
    const int received = receive(mnl_socket_get_fd(socket), in);
    if (received < 0) return errno_error("receive from netlink", -received);
    for_each_message(in, received, [&](const nlmsghdr& message) {
      if (message.nlmsg_seq != sequence) return;
      interrupted = interrupted || (message.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      const auto error = error_of(message);
      failure = error.value_or(failure);
      done = error.has_value() || message.nlmsg_type == NLMSG_DONE;
      if (!done) handle(message);
    });
  }
  if (failure != 0) return errno_error("netlink dump", failure);
  return interrupted;
}

/// All that the kernel has of a kind.
template <class Header, class Value>
Result<std::vector<Value>> dump(mnl_socket* socket, std::uint32_t& sequence, std::uint16_t type,
                                std::optional<Value> (*parse)(const nlmsghdr&)) {
  for (int attempt = 0; attempt < dump_attempts; attempt++) {
    alignas(nlmsghdr) std::array<char, request_size> out{};
    nlmsghdr* request = mnl_nlmsg_put_header(out.data());
    request->nlmsg_type = type;
    mnl_nlmsg_put_extra_header(request, sizeof(Header));
    std::vector<Value> values;
    const auto interrupted = dump_once(socket, sequence++, request, [&](const nlmsghdr& message) {
      if (auto value = parse(message)) values.push_back(std::move(*value));
    });
    if (!interrupted) return interrupted.error();
    if (!*interrupted) return values;
  }
  return Error{"netlink dump: changed all the while"};
}

int family_of(const IpAddress& address) {
  return address.is_v4() ? AF_INET : AF_INET6;
}

void put_address(nlmsghdr* message, std::uint16_t type, const IpAddress& address) {
  mnl_attr_put(message, type, address.bytes().size(), address.bytes().data());
}

/// A message about the neighbour `hop`, as yet without state and flags.
ndmsg* put_neighbor(nlmsghdr* message, std::uint16_t type, unsigned flags, const NextHop& hop) {
  message->nlmsg_type = type;
  message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  auto* header = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ndmsg)));
  header->ndm_family = static_cast<std::uint8_t>(family_of(hop.address));
  header->ndm_ifindex = static_cast<std::int32_t>(hop.ifindex);
  put_address(message, NDA_DST, hop.address);
  return header;
}

}  // namespace

Neighbor unknown_neighbor(const NextHop& hop) {
  Neighbor neighbor;
  neighbor.hop = hop;
  return neighbor;
}

// ---- Requests ----

Result<Requests> Requests::open() {
  auto socket = open_socket(0, 1 << 20);
  if (!socket) return std::move(socket).error();
  // The kernel answers at once; a socket that never does must not stop the daemon.
  const timeval limit{.tv_sec = 5, .tv_usec = 0};
  setsockopt(mnl_socket_get_fd(socket->get()), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  return Requests{std::move(*socket)};
}

Result<std::vector<Link>> Requests::links() {
  return dump<ifinfomsg, Link>(socket_.get(), sequence_, RTM_GETLINK, link_of);
}

Result<std::vector<Address>> Requests::addresses() {
  return dump<ifaddrmsg, Address>(socket_.get(), sequence_, RTM_GETADDR, interface_address_of);
}

std::vector<Result<Path>> Requests::paths(std::span<const IpAddress> destinations) {
  std::vector<Result<Path>> paths(destinations.size(), Error{"not asked"});
  const auto asked = exchange(
      socket_.get(), sequence_, destinations.size(),
      [&](std::size_t i, nlmsghdr* message) {
        message->nlmsg_type = RTM_GETROUTE;
        message->nlmsg_flags = NLM_F_REQUEST;
        auto* header = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(rtmsg)));
        header->rtm_family = static_cast<std::uint8_t>(family_of(destinations[i]));
        header->rtm_dst_len = destinations[i].bits();
        put_address(message, RTA_DST, destinations[i]);
      },
      [&](std::size_t i, const nlmsghdr& message) {
        if (const auto error = error_of(message))
          paths[i] = errno_error("look up the route", *error);
        else
          paths[i] = path_of(message, destinations[i]);
      });
  if (!asked) paths.assign(destinations.size(), asked.error());
  return paths;
}

std::vector<Result<std::optional<Neighbor>>> Requests::neighbors(std::span<const NextHop> hops) {
  std::vector<Result<std::optional<Neighbor>>> neighbors(hops.size());
  const auto asked = exchange(
      socket_.get(), sequence_, hops.size(),
      [&](std::size_t i, nlmsghdr* message) { put_neighbor(message, RTM_GETNEIGH, 0, hops[i]); },
      [&](std::size_t i, const nlmsghdr& message) {
        const auto error = error_of(message);
        if (error && *error != ENOENT)
          neighbors[i] = errno_error("look up the neighbor", *error);
        else if (!error)
          neighbors[i] = neighbor_of(message);
      });
  if (!asked) neighbors.assign(hops.size(), asked.error());
  return neighbors;
}

std::vector<Result<Neighbor>> Requests::keep(std::span<const NextHop> hops) {
  // NTF_USE and NTF_EXT_MANAGED would take the state of a static entry away, so look first.
  const auto known = neighbors(hops);
  std::vector<Result<Neighbor>> kept(hops.size());
  std::vector<std::size_t> wanting;
  for (std::size_t i = 0; i < hops.size(); i++) {
    if (!known[i]) {
      kept[i] = known[i].error();
      continue;
    }
    kept[i] = known[i]->value_or(unknown_neighbor(hops[i]));
    if (kept[i]->foreign || (kept[i]->managed && kept[i]->mac)) continue;
    kept[i]->failed = false;  // it is asked for anew
    wanting.push_back(i);
  }
  const auto asked = exchange(
      socket_.get(), sequence_, wanting.size(),
      [&](std::size_t n, nlmsghdr* message) {
        const std::size_t i = wanting[n];
        const unsigned flags = known[i]->has_value() ? NLM_F_REPLACE : NLM_F_CREATE | NLM_F_EXCL;
        // Kernels before 5.16 pass over NDA_FLAGS_EXT; NTF_USE makes even them resolve it.
        put_neighbor(message, RTM_NEWNEIGH, NLM_F_ACK | flags, hops[i])->ndm_flags = NTF_USE;
        mnl_attr_put_u32(message, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
        mnl_attr_put_u8(message, NDA_PROTOCOL, made_by_lbd);
      },
      [&](std::size_t n, const nlmsghdr& message) {
        const int error = error_of(message).value_or(0);
        // Come or gone since it was looked up: an event tells of it.
        if (error != 0 && error != EEXIST && error != ENOENT)
          kept[wanting[n]] = errno_error("keep the neighbor", error);
      });
  if (!asked) kept.assign(hops.size(), asked.error());
  return kept;
}

Result<std::vector<NextHop>> Requests::kept() {
  return dump<ndmsg, NextHop>(socket_.get(), sequence_, RTM_GETNEIGH, kept_hop_of);
}

void Requests::release(std::span<const NextHop> hops) {
  const auto known = neighbors(hops);
  std::vector<NextHop> managed;
  for (std::size_t i = 0; i < hops.size(); i++)
    if (known[i] && *known[i] && (*known[i])->managed && !(*known[i])->foreign)
      managed.push_back(hops[i]);
  // NTF_USE leaves the entry's state and MAC as they are. Failure leaves it managed: no harm.
  (void)exchange(
      socket_.get(), sequence_, managed.size(),
      [&](std::size_t i, nlmsghdr* message) {
        put_neighbor(message, RTM_NEWNEIGH, NLM_F_ACK | NLM_F_REPLACE, managed[i])->ndm_flags =
            NTF_USE;
      },
      [](std::size_t, const nlmsghdr&) {});
}

// ---- Events ----

Result<Events> Events::open() {
  auto socket = open_socket(SOCK_NONBLOCK, 4 << 20);
  if (!socket) return std::move(socket).error();
  for (int group :
       {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
        RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP})
    if (mnl_socket_setsockopt(socket->get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0)
      return errno_error(fmt::format("subscribe to netlink group {}", group), errno);
  return Events{std::move(*socket)};
}

int Events::fd() const {
  return mnl_socket_get_fd(socket_.get());
}

Events::Read Events::read(const std::function<void(const Event&)>& handle) {
  alignas(nlmsghdr) Buffer buffer;
  for (int i = 0; i < messages_at_once; i++) {
    const int received = receive(fd(), buffer);
    if (received == -EAGAIN) return Read::all;
    // ENOBUFS, or what else can go wrong: changes are lost.
    if (received < 0) return Read::overrun;
    for_each_message(buffer, received, [&](const nlmsghdr& message) {
      if (const auto event = event_of(message)) handle(*event);
    });
  }
  return Read::more;
}

}  // namespace lbd::dataplane::netlink
