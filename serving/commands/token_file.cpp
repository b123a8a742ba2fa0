#include <levin/serving/commands/token_file.h>

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin {
namespace {

constexpr uint64_t kMostTokenBytes = uint64_t{64} << 10;

std::string first_line_of(const std::string& path) {
  try {
    const std::string text = files::read_text(path, kMostTokenBytes);
    return text.substr(0, text.find('\n'));
  } catch (const CheckpointError& error) {  // it names the path and the cause
    throw ConfigError(
        fmt::format("the first line of the token file is the token, but {}", error.what()));
  }
}

}  // namespace

std::string read_token_file(const std::string& path) {
  std::string token = first_line_of(path);
  while (!token.empty() && (token.back() == '\r' || token.back() == ' ')) token.pop_back();
  const bool is_plain =
      std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!token.empty() && is_plain) return token;
  throw ConfigError(fmt::format(
      "the first line of the token file {} must be a token of visible ASCII characters; make one "
      "with: openssl rand -hex 32",
      path));
}

}  // namespace levin
