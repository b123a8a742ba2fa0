#include <levin/framework/tensor/torch_error.h>

#include <cstdlib>
#include <stdexcept>

#include <gtest/gtest.h>
#include <torch/types.h>

#include "framework/message_of.h"

// LibTorch's errors as people should see them: one line, and no C++ stack unless they ask for it.

namespace levin::torch_error_test {

using test::says;

constexpr const char* kVariable = "TORCH_SHOW_CPP_STACKTRACES";

/// Sets or unsets the variable for a test.
class TorchError : public ::testing::Test {
 protected:
  TorchError() {
    if (const char* value = std::getenv(kVariable)) before_ = value;
    ::unsetenv(kVariable);
  }
  ~TorchError() override {
    if (before_.empty()) {
      ::unsetenv(kVariable);
    } else {
      ::setenv(kVariable, before_.c_str(), 1);
    }
  }

  /// Calls `look` with the error of a product whose shapes don't fit.
  template <class Look>
  static void with_error(Look look) {
    try {
      torch::ones({32, 20}).matmul(torch::ones({30, 3}));
      FAIL();
    } catch (c10::Error& error) {
      look(error);
    }
  }

 private:
  std::string before_;
};

TEST_F(TorchError, is_one_line_without_a_stack) {
  with_error([](const c10::Error& error) {
    EXPECT_EQ(plain_message(error), "mat1 and mat2 shapes cannot be multiplied (32x20 and 30x3)");
  });
  EXPECT_EQ(plain_message(c10::Error("first.\n  second \n\nthird\n")), "first. second third");
}

TEST_F(TorchError, says_where_it_happened_and_keeps_its_class) {
  with_error([](c10::Error& error) {
    error.add_context("while multiplying");
    say_where(error, "in fit at epoch 1");
    EXPECT_EQ(std::string(error.what()),
              "mat1 and mat2 shapes cannot be multiplied (32x20 and 30x3) (while multiplying) "
              "(in fit at epoch 1)");
  });
  try {
    try {
      torch::ones({2}).select(0, 5);
      FAIL();
    } catch (c10::Error& error) {
      say_where(error, "in test");
      throw;
    }
  } catch (const c10::IndexError& error) {
    const std::string what = error.what();
    EXPECT_TRUE(what.ends_with(" (in test)")) << what;
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
  }
}

TEST_F(TorchError, has_its_stack_if_the_user_asks_for_it) {
  for (const char* no : {"", "0"}) {
    ::setenv(kVariable, no, 1);
    EXPECT_FALSE(shows_cpp_stacks()) << no;
  }
  ::setenv(kVariable, "1", 1);
  EXPECT_TRUE(shows_cpp_stacks());
  with_error([](c10::Error& error) {
    EXPECT_TRUE(says(plain_message(error), {"(32x20 and 30x3)", "\nException raised from"}));
    say_where(error, "in fit at epoch 1");
    EXPECT_TRUE(says(error.what(), {"(in fit at epoch 1)", "\nException raised from"}));
  });
}

TEST_F(TorchError, leaves_other_messages_alone_but_for_a_stack_that_was_copied_into_them) {
  EXPECT_EQ(plain_message(std::runtime_error("two\n  lines")), "two\n  lines");
  EXPECT_EQ(plain_message(std::runtime_error("rank 1: bad\nException raised from f at g.cpp:1")),
            "rank 1: bad");
}

}  // namespace levin::torch_error_test
