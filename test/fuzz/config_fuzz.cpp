// Any bytes are a configuration or are refused with places inside the text; nothing else happens.
// Build and run:
//   clang++-14 -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
//     -DFMT_HEADER_ONLY -Ilib test/fuzz/config_fuzz.cpp lib/lb/config/*.cpp lib/lb/model/*.cpp
//     -lyaml-cpp -o config-fuzz
//   mkdir -p corpus && ./config-fuzz corpus config
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lb/config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto lines = static_cast<std::uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  const lbd::config::Loaded loaded = lbd::config::parse(text);
  for (const auto* findings : {&loaded.errors, &loaded.warnings})
    for (const lbd::config::Finding& finding : *findings) {
      const std::string line = to_string(finding, "f");
      const bool placed = finding.line >= 1 && finding.line <= lines && finding.column >= 1;
      if (!placed || line.find('\n') != std::string::npos) std::abort();
    }
  if (loaded.errors.empty() &&
      (loaded.config.node.interfaces.empty() ||
       !lbd::config::fixed_keys_changed(loaded.config, loaded.config).empty()))
    std::abort();
  return 0;
}
