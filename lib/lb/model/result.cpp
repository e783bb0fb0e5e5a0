#include "lb/model/result.h"

#include <system_error>

namespace lbd {

Error errno_error(std::string_view attempt, int errno_value) {
  return Error{std::generic_category().message(errno_value)}.in(attempt);
}

}  // namespace lbd
