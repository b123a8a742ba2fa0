#include <levin/framework/loops/stop_signal.h>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "framework/default_hangup.h"

namespace levin::stop_signal_test {

TEST(StopSignals, each_of_the_three_asks_to_stop) {
  const test::DefaultHangup hangup;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    const StopSignal signal;
    EXPECT_FALSE(StopSignal::received());
    ::raise(number);
    EXPECT_TRUE(StopSignal::received()) << number;
  }
}

TEST(StopSignals, those_at_once_are_one) {
  const test::DefaultHangup hangup;
  const StopSignal signal;
  for (int i = 0; i < 3; ++i) ::raise(SIGINT);  // the second would end this test
  for (int i = 0; i < 3; ++i) ::raise(SIGHUP);
  EXPECT_TRUE(StopSignal::received());
}

TEST(StopSignals, a_later_one_ends_the_program) {
  const auto hit_twice = [] {
    ::unsetenv("LEVIN_LAUNCHED");
    const StopSignal signal;
    ::raise(SIGINT);
    ::usleep(1'100'000);
    ::raise(SIGINT);
    ::_exit(0);
  };
  EXPECT_EXIT(hit_twice(), ::testing::KilledBySignal(SIGINT), "");
}

TEST(StopSignals, a_hangup_that_is_ignored_stays_so) {
  struct sigaction ignore {};
  struct sigaction before {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGHUP, &ignore, &before);  // as nohup does
  {
    const StopSignal signal;
    ::raise(SIGHUP);
    EXPECT_FALSE(StopSignal::received());
  }
  ::sigaction(SIGHUP, &before, nullptr);
}

}  // namespace levin::stop_signal_test
