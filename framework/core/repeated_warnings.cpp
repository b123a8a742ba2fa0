#include <levin/framework/core/repeated_warnings.h>

#include <mutex>
#include <set>
#include <string>

namespace levin {
namespace {

struct SeenWarnings {
  std::mutex mutex;
  int scopes = 0;
  std::set<std::string> texts;
};

SeenWarnings& seen_warnings() {
  static SeenWarnings seen;
  return seen;
}

/// The text without digits.
std::string without_digits(std::string_view warning) {
  std::string text;
  for (const char letter : warning) {
    if (letter < '0' || letter > '9') text += letter;
  }
  return text;
}

}  // namespace

RepeatedWarningsAreLeftOut::RepeatedWarningsAreLeftOut() {
  const std::lock_guard lock(seen_warnings().mutex);
  ++seen_warnings().scopes;
}

RepeatedWarningsAreLeftOut::~RepeatedWarningsAreLeftOut() {
  const std::lock_guard lock(seen_warnings().mutex);
  if (--seen_warnings().scopes == 0) seen_warnings().texts.clear();
}

bool RepeatedWarningsAreLeftOut::is_new(std::string_view warning) {
  const std::lock_guard lock(seen_warnings().mutex);
  return seen_warnings().scopes == 0 ||
         seen_warnings().texts.insert(without_digits(warning)).second;
}

}  // namespace levin
