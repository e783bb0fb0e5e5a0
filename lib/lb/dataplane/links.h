// The pinned links of a data plane: pinPath/links/INTERFACE, one an interface.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lb/dataplane/fd.h"
#include "lb/model/result.h"

namespace lbd::dataplane {

struct PinnedLink {
  std::string interface;  ///< as it was called when the link was made
  std::filesystem::path pin;
  Fd link;
  std::uint32_t ifindex = 0;  ///< 0: the device is gone
  std::uint32_t program_id = 0;
};

[[nodiscard]] Result<std::optional<PinnedLink>> find_link(const std::filesystem::path& pin_path,
                                                          const std::string& interface);
[[nodiscard]] Result<std::vector<PinnedLink>> pinned_links(const std::filesystem::path& pin_path);
/// Makes `link` outlive this process.
Result<> pin_link(const std::filesystem::path& pin_path, const std::string& interface,
                  const Fd& link);
/// Swaps the link's program, no packet lost; a device that is gone is no error.
Result<> update_link(const PinnedLink&, int program_fd);
/// Swaps the program of all links.
Result<> update_links(const std::filesystem::path& pin_path, int program_fd);
/// Takes the program off the interface and removes the pin.
Result<> remove_link(const PinnedLink&);
/// All of them, and their directory.
Result<> remove_links(const std::filesystem::path& pin_path);

}  // namespace lbd::dataplane
