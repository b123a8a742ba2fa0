#include <levin/cli/command.h>

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/cli/arguments.h>
#include <levin/cli/command_line.h>
#include <levin/cli/help.h>
#include <levin/serving/commands/serving_commands.h>

// Options that several commands have, of which a command says which it takes.

namespace levin::shared_options_test {

struct GreetOptions {
  int64_t times = 1;
};
Fields describe(GreetOptions& o) {
  return fields_of<GreetOptions>({{"times", &o.times, "how often"}});
}

/// The commands of the program, and one that takes --json besides its own option.
Commands added() {
  Commands commands = serving_commands();
  commands.push_back(
      {.name = "greet",
       .usage = "WHO",
       .help = "say hello",
       .run = [](const Arguments& arguments, const Registry&) { return arguments.json ? 7 : 0; },
       .with_options = options_of<GreetOptions>(),
       .shared_options = {"json"},
       .notes = "Hello."});
  return commands;
}

/// What `levin` with these words prints as an error; its status must be `status`.
std::string error_of(std::vector<const char*> words, int status) {
  words.insert(words.begin(), "levin");
  testing::internal::CaptureStderr();
  EXPECT_EQ(run_command_line(static_cast<int>(words.size()), words.data(), Registry(), added()),
            status)
      << words.at(1);
  return testing::internal::GetCapturedStderr();
}

TEST(SharedOptions, options_that_a_command_doesnt_take_are_refused) {
  EXPECT_EQ(error_of({"greet", "you", "--json"}, 7), "");
  EXPECT_EQ(error_of({"greet", "--output=a"}, 2),
            "error: --output is an option of `levin predict`; greet doesn't take it\n");
  EXPECT_EQ(error_of({"greet", "--metric=a"}, 2),
            "error: --metric is an option of `levin plot`; greet doesn't take it\n");
  const std::vector<std::vector<const char*>> wrong = {
      {"serve", "last", "--json"},           {"serve", "last", "--output=a"},
      {"serve", "last", "--config=a"},       {"bench-serve", "url", "--metric=a"},
      {"bench-serve", "url", "--config=a"},  {"list", "--json"},
      {"plot", "run", "--config=a"},         {"runs", "--trainer.max_epochs=2"},
      {"convert", "a.csv", "--print-config"}};
  for (const auto& words : wrong) {
    const std::string error = error_of(words, 2);
    EXPECT_NE(error.find(std::string("; ") + words.front() + " doesn't take it"), std::string::npos)
        << error;
  }
  // bench-serve takes both, but --output only with --sweep.
  const std::string error = error_of({"bench-serve", "url", "--json", "--output=a"}, 2);
  EXPECT_NE(error.find("--output needs --sweep"), std::string::npos) << error;
}

TEST(SharedOptions, the_help_of_every_command_ends_with_one_line_feed) {
  const Commands more = added();
  for (const auto& list : {commands(), more}) {
    for (const auto& command : list) {
      const std::string help = command_help("levin", command.name, more);
      ASSERT_GE(help.size(), 2U);
      EXPECT_EQ(help.back(), '\n') << command.name;
      EXPECT_NE(help[help.size() - 2], '\n') << command.name;
    }
  }
}

}  // namespace levin::shared_options_test
