// Next hops from the kernel: routes and neighbours of wanted destinations over netlink, kept alive
// and followed as they change. The node's own addresses, too.
#pragma once
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <set>

#include "lb/dataplane/route.h"
#include "lb/log/log.h"
#include "lb/model/result.h"

namespace lbd::dataplane {

class Router final : public RouteSource {
 public:
  /// Opens the sockets, subscribes to link, address, route and neighbour changes, and reads the
  /// node's addresses. `changed` is called from the io_context, never from within another call of
  /// this class, once for a burst of changes after which to() or is_local() may answer otherwise.
  static Result<std::unique_ptr<Router>> open(boost::asio::io_context&, const Log&,
                                              std::function<void()> changed);
  ~Router() override;

  /// The destinations whose next hops are to be resolved and kept alive from now on; others are
  /// let go, on the first call also those that an earlier process left (it may die, and packets
  /// go on). Neighbours are made managed (NTF_EXT_MANAGED, Linux 5.16) where the kernel can, else
  /// probed again and again.
  void want(const std::set<IpAddress>& destinations);

  /// Waits for answers of neighbours that are still unknown, `at_most_ms` in all: so that a start
  /// does not begin with drops. Returns early when all are known or have failed.
  void settle(int at_most_ms);

  [[nodiscard]] std::optional<Route> to(const IpAddress& destination) const override;
  [[nodiscard]] bool is_local(const IpAddress& address) const override;
  [[nodiscard]] const std::set<IpAddress>& local_addresses() const;

 private:
  class Impl;
  explicit Router(std::unique_ptr<Impl>);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lbd::dataplane
