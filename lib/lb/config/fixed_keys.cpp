#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

#include "lb/config/config.h"

namespace lbd::config {
namespace {

class Changes {
 public:
  template <class T>
  void expect_same(std::string key, const T& running, const T& next, std::string_view shown) {
    if (running == next) return;
    findings_.push_back(
        {1, 1, std::move(key), fmt::format("cannot change while lbd runs: expected {}", shown)});
  }
  std::vector<Finding> take() { return std::move(findings_); }

 private:
  std::vector<Finding> findings_;
};

std::string_view shown(HashMode hash) {
  return hash == HashMode::five_tuple ? "5-tuple" : "source-ip";
}

}  // namespace

std::vector<Finding> fixed_keys_changed(const Config& running, const Config& next) {
  Changes changes;
  const auto same_path = [&](const char* key, const std::filesystem::path& before,
                             const std::filesystem::path& after) {
    changes.expect_same(key, before.native(), after.native(), before.native());
  };
  const auto same_number = [&](std::string key, std::uint32_t before, std::uint32_t after) {
    changes.expect_same(std::move(key), before, after, std::to_string(before));
  };
  same_path("node.pinPath", running.node.pin_path, next.node.pin_path);
  same_path("node.stateDir", running.node.state_dir, next.node.state_dir);
  changes.expect_same("hashKey", running.hash_key, next.hash_key,
                      fmt::format("{:02x}", fmt::join(running.hash_key, "")));
  same_number("connectionTable.entries", running.connection_table.entries,
              next.connection_table.entries);
  same_number("connectionTable.starts", running.connection_table.starts,
              next.connection_table.starts);
  same_path("admin.socket", running.admin_socket, next.admin_socket);

  std::unordered_map<std::string_view, const Service*> live;
  for (const Service& service : running.services) live.emplace(service.name, &service);
  for (std::size_t i = 0; i < next.services.size(); i++) {
    const Service& after = next.services[i];
    const auto before = live.find(after.name);
    if (before == live.end()) continue;
    const auto of_service = [&](std::string_view what) {
      return fmt::format("{}, as service '{}' was made with", what, after.name);
    };
    changes.expect_same(fmt::format("services[{}].tableSize", i), before->second->table_size,
                        after.table_size, of_service(std::to_string(before->second->table_size)));
    changes.expect_same(fmt::format("services[{}].hash", i), before->second->hash, after.hash,
                        of_service(shown(before->second->hash)));
  }
  return changes.take();
}

}  // namespace lbd::config
