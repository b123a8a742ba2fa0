#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>

namespace levin::test {

/// The message of the E that `work` throws; fails the test where it throws nothing or another
/// class.
template <class E, class Work>
std::string message_of(Work&& work) {
  try {
    work();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another exception: " << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

/// Whether `text` has all the parts.
inline ::testing::AssertionResult says(std::string_view text,
                                       std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts) {
    if (text.find(part) == std::string_view::npos) {
      return ::testing::AssertionFailure() << "\"" << text << "\" doesn't say \"" << part << "\"";
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace levin::test
