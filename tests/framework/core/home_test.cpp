#include <levin/framework/core/home.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"

namespace levin::home_test {

using test::message_of;
using test::says;

/// Sets HOME for the time of a test.
class Home : public ::testing::Test {
 protected:
  Home() {
    if (const char* home = std::getenv("HOME")) before_ = home;
    ::setenv("HOME", "/home/ann", 1);
  }
  ~Home() override {
    if (before_) {
      ::setenv("HOME", before_->c_str(), 1);
    } else {
      ::unsetenv("HOME");
    }
  }

 private:
  std::optional<std::string> before_;
};

TEST_F(Home, replaces_a_tilde_and_HOME_at_the_start) {
  for (const char* path : {"~", "$HOME", "${HOME}"}) {
    EXPECT_EQ(expand_home(path, "x"), "/home/ann");
    EXPECT_EQ(expand_home(path + std::string("/runs/a"), "x"), "/home/ann/runs/a");
  }
  EXPECT_EQ(expand_home(std::vector<std::string>{"~/a-*.csv", "b.csv"}, "x"),
            (std::vector<std::string>{"/home/ann/a-*.csv", "b.csv"}));
}

TEST_F(Home, leaves_other_paths_as_they_are) {
  for (const char* path :
       {"", "runs", "/a/~/b", "./~x", "a~", "~$notes.csv", "$", "a/$HOME", "last"}) {
    EXPECT_EQ(expand_home(path, "x"), path);
  }
}

TEST_F(Home, refuses_what_only_a_shell_replaces) {
  for (const std::string path : {"~bob/runs", "$SCRATCH/runs", "${SCRATCH}/runs", "$HOMES/x"}) {
    const auto message = message_of<ConfigError>([&] { expand_home(path, "dirpath"); });
    EXPECT_TRUE(says(message, {"dirpath = " + path, "only ~ and $HOME", "./" + path}));
  }
}

TEST_F(Home, says_that_HOME_is_not_set) {
  ::unsetenv("HOME");
  const auto message = message_of<ConfigError>([] { expand_home("~/runs", "dirpath"); });
  EXPECT_TRUE(says(message, {"dirpath = ~/runs", "HOME isn't set"}));
  EXPECT_EQ(expand_home("runs", "dirpath"), "runs");
}

}  // namespace levin::home_test
