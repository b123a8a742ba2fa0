#pragma once

#include <string_view>

namespace levin {

/// While an object of this class exists, the runs of this process print a warning that several of
/// them have once only (Run::warn). Of warnings that differ in nothing but their digits, the first
/// one is printed. For programs with many runs, such as a search. Objects may be nested.
class RepeatedWarningsAreLeftOut {
 public:
  RepeatedWarningsAreLeftOut();
  ~RepeatedWarningsAreLeftOut();
  RepeatedWarningsAreLeftOut(const RepeatedWarningsAreLeftOut&) = delete;
  RepeatedWarningsAreLeftOut& operator=(const RepeatedWarningsAreLeftOut&) = delete;

  /// Whether a warning is to be printed: true if there is no such object, or none that exists has
  /// seen the warning.
  static bool is_new(std::string_view warning);
};

}  // namespace levin
