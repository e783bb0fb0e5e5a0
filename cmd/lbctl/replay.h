// `lbctl replay`: what would lbd do with the packets of this capture?
#pragma once
#include <span>
#include <string>

namespace lbd::lbctl {

/// The arguments behind the word replay. Returns lbctl's exit code.
int replay(std::span<const std::string> arguments);

}  // namespace lbd::lbctl
