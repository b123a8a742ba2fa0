#pragma once

#include <string>
#include <string_view>

namespace levin {

/// The token that requests need. Comparing takes as long for a wrong token that begins like the
/// right one as for any other.
class BearerToken {
 public:
  /// "": no token is needed.
  explicit BearerToken(std::string_view token);

  bool required() const { return !digest_.empty(); }
  /// Whether the value of the header Authorization is "Bearer TOKEN".
  bool admits(std::string_view authorization) const;

 private:
  std::string digest_;
};

}  // namespace levin
