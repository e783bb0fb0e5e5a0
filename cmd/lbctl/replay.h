// `lbctl replay`: what lbd does with the packets of a capture, without a daemon.
#pragma once
#include <span>
#include <string>

namespace lbd::lbctl {

/// Takes what follows the word `replay`; returns what lbctl exits with.
int replay(std::span<const std::string> arguments);

}  // namespace lbd::lbctl
