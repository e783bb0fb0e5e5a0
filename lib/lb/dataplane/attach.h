// The program on interfaces: pinned links that outlive the daemon and change their program without
// losing a packet.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lb/dataplane/data_plane.h"
#include "lb/log/log.h"
#include "lb/model/result.h"

namespace lbd::dataplane {

/// automatic: native where the driver can, else generic with a warning.
enum class XdpMode : std::uint8_t { automatic, native, generic };
[[nodiscard]] std::string_view to_string(XdpMode);  ///< "auto", "native", "generic"

struct Attached {
  std::string interface;
  std::uint32_t ifindex = 0;
  XdpMode mode = XdpMode::native;  ///< what it is, never automatic
  std::uint32_t program_id = 0;
  bool operator==(const Attached&) const = default;
};

/// Puts the pinned data plane's program on `interface`. Adopts the link a predecessor left there;
/// otherwise attaches anew, once a second copy of the program on maps of its own has passed a test
/// run. Another XDP program on the interface is never replaced: an Error with its id and name.
/// Succeeds only if the kernel then says that the interface runs this very program.
Result<Attached> attach(const DataPlane&, const std::string& interface, XdpMode, const Log&);

/// Takes the program off; succeeds where it isn't on.
Result<> detach(const DataPlane&, const std::string& interface);

/// The interfaces that run the program by a pinned link, by name, as the kernel says. `interface`
/// is the name of the link; a device that is gone isn't listed.
[[nodiscard]] Result<std::vector<Attached>> attachments(const DataPlane&);

}  // namespace lbd::dataplane
