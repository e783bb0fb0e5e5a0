// What a function that can fail returns: a value, or an error whose message reads outside-in.
#pragma once
#include <boost/system/result.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace lbd {

/// Why something failed.
class Error {
 public:
  Error() = default;  // boost::system::result::error() of a success
  explicit Error(std::string message) : message_{std::move(message)} {}

  /// Puts what was being attempted in front: "load /etc/lbd.yaml: service web: port 70000: …".
  [[nodiscard]] Error in(std::string_view attempt) && {
    message_.insert(0, ": ").insert(0, attempt);
    return std::move(*this);
  }
  [[nodiscard]] const std::string& message() const { return message_; }

 private:
  std::string message_;
};

/// A value or an Error; ignoring it is a warning. `.value()` does not compile on purpose (no
/// throw_exception_from_error for Error), so everyone looks first and then dereferences.
template <class T = void>
class [[nodiscard]] Result : public boost::system::result<T, Error> {
 public:
  using boost::system::result<T, Error>::result;
};

/// An Error with the text of `errno_value` behind `attempt`: "open /x: No such file or directory".
[[nodiscard]] Error errno_error(std::string_view attempt, int errno_value);

}  // namespace lbd
