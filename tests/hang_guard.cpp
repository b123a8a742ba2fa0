// Linked into every test executable: ends a test that hangs, and says which one it was. Without
// it, only the limit of ctest ends the whole executable, and says nothing.
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

namespace levin::test {
namespace {

/// The line to print; made before the signal, whose handler may only write it.
std::string& hang_message() {
  static std::string text;
  return text;
}

void end_hanging_test(int /*signal*/) {
  const auto& text = hang_message();
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
  std::abort();
}

class HangGuard : public ::testing::EmptyTestEventListener {
 public:
  explicit HangGuard(unsigned seconds) : seconds_(seconds) {}

 private:
  void OnTestStart(const ::testing::TestInfo& test) override {
    hang_message() = std::string("the test ") + test.test_suite_name() + "." + test.name() +
                     " hangs: it has run for " + std::to_string(seconds_) + " s\n";
    ::signal(SIGALRM, end_hanging_test);
    ::alarm(seconds_);
  }
  void OnTestEnd(const ::testing::TestInfo& /*test*/) override { ::alarm(0); }

  unsigned seconds_;
};

/// ctest sets the limit; who runs a test by hand, in a debugger perhaps, has none.
[[maybe_unused]] const bool is_installed = [] {
  const char* const seconds = std::getenv("LEVIN_TEST_SECONDS");
  if (seconds == nullptr) return false;
  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  listeners.Append(new HangGuard(static_cast<unsigned>(std::atoi(seconds))));  // gtest owns it
  return true;
}();

}  // namespace
}  // namespace levin::test
