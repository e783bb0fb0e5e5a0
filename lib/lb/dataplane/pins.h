// The directory on bpffs where a data plane outlives its daemon: owned by one process at a time,
// and changed as a whole or not at all, whenever the process may die.
//
// Maps and program lie below it by their names. A change is first pinned into `next`, which counts
// for nothing; renaming `next` to `ready` decides it; then file by file the pin that is there goes
// to `old` and the one in `ready` takes its place, which whoever opens the directory after a crash
// can go on with. `old` stays until what programs wrote to its maps has been carried over.
// bpffs allows no dots in names.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "lb/dataplane/fd.h"
#include "lb/dataplane/map_set.h"
#include "lb/log/log.h"
#include "lb/model/result.h"

namespace lbd::dataplane {

/// The pinned object; nothing where there is none.
[[nodiscard]] Result<std::optional<Fd>> open_pin(const std::filesystem::path&);
Result<> make_pin(const std::filesystem::path&, const Fd&);
/// Succeeds where there is nothing.
Result<> remove_file(const std::filesystem::path&);

class PinDirectory {
 public:
  /// Makes the directory, mounting bpffs (mode 0700) where its parent is on none, locks it until
  /// this process ends or lets go of it, and finishes or forgets what a crash left half done.
  static Result<PinDirectory> open(std::filesystem::path, const Log&);
  /// The same, where it is there already.
  static Result<std::optional<PinDirectory>> open_existing(const std::filesystem::path&);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  /// What is pinned; an absent program or map is left unset.
  [[nodiscard]] Result<MapSet> current() const;
  /// What a commit replaced and nobody has carried over yet; nothing: there is no such thing.
  [[nodiscard]] Result<std::optional<MapSet>> replaced() const;

  /// Makes all of `changes` (unset members stay as they are) what current() finds, in one.
  Result<> commit(const MapSet& changes) const;
  Result<> forget_replaced() const;
  /// Removes all maps and programs; not the links.
  Result<> clear() const;
  /// Removes the directory itself, if nothing is left in it.
  Result<> remove() const;

 private:
  PinDirectory(std::filesystem::path path, Fd lock)
      : path_{std::move(path)}, lock_{std::move(lock)} {}
  static Result<PinDirectory> lock(const std::filesystem::path&);
  Result<> recover() const;
  Result<> roll_forward() const;

  std::filesystem::path path_;
  Fd lock_;
};

}  // namespace lbd::dataplane
