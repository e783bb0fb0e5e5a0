#include "lb/model/service.h"

namespace lbd {

std::string_view to_string(Protocol protocol) {
  return protocol == Protocol::tcp ? "TCP" : "UDP";
}

std::string_view to_string(AdminState state) {
  switch (state) {
    case AdminState::enabled:
      return "enabled";
    case AdminState::drain:
      return "drain";
    case AdminState::disabled:
      return "disabled";
  }
  return "";
}

}  // namespace lbd
