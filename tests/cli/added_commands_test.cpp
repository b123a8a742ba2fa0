#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <levin/cli/arguments.h>
#include <levin/cli/command.h>
#include <levin/cli/completion.h>
#include <levin/cli/help.h>
#include <levin/cli/shipped_classes.h>
#include <levin/framework/core/error.h>
#include <levin/serving/commands/serving_commands.h>

#include "framework/message_of.h"

// Help, the parser and shell completion know the commands that a program adds.

namespace levin::added_commands_test {

/// The names of the options of a command, as they are typed: "--max-body".
std::vector<std::string> options_in(const Command& command) {
  std::vector<std::string> names;
  command.with_options([&](const Fields& fields) {
    for (const auto& field : fields) names.push_back("--" + option_name(field.name));
  });
  return names;
}

/// The words of a text, without what ends an option.
std::set<std::string> words_of(const std::string& text) {
  std::set<std::string> words;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) {
    while (!word.empty() && std::string_view("=':").find(word.back()) != std::string_view::npos) {
      word.pop_back();
    }
    if (word.rfind("options='", 0) == 0) word.erase(0, 9);
    words.insert(word);
  }
  return words;
}

TEST(AddedCommands, help_lists_them_and_their_options) {
  const std::string help = general_help("levin", serving_commands());
  for (const auto& command : serving_commands()) {
    EXPECT_NE(help.find("\n  " + command.name + " "), std::string::npos) << help;
    EXPECT_EQ(general_help("levin").find("\n  " + command.name + " "), std::string::npos);
    const auto words = words_of(command_help("levin", command.name, serving_commands()));
    const auto options = options_in(command);
    EXPECT_GT(options.size(), 10U);
    for (const auto& option : options) EXPECT_EQ(words.count(option), 1U) << option;
  }
}

TEST(AddedCommands, each_of_their_options_is_parsed_and_completed) {
  const Registry classes = shipped_classes();
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = completion_script(shell, "levin", classes, serving_commands());
    EXPECT_NE(script.find("bench-serve"), std::string::npos) << shell;
  }
  const auto words = words_of(completion_script("bash", "levin", classes, serving_commands()));
  for (const auto& command : serving_commands()) {
    for (const auto& option : options_in(command)) {
      EXPECT_EQ(words.count(option), 1U) << command.name << " " << option;
      const std::string given = option + "=1";
      const char* arguments[] = {"levin", command.name.c_str(), given.c_str()};
      const Arguments parsed = parse_arguments(3, arguments, classes, serving_commands());
      ASSERT_EQ(parsed.settings.size(), 1U) << given;
      EXPECT_EQ("--" + option_name(parsed.settings.front().first), option);
      EXPECT_EQ(parsed.settings.front().second, "1");
    }
  }
}

TEST(AddedCommands, wrong_options_and_commands_are_named_with_the_nearest_ones) {
  const Registry classes = shipped_classes();
  const auto error_of = [&](const char* command, const char* option) {
    const char* arguments[] = {"levin", command, option};
    return test::message_of<ConfigError>([&] {
      const auto parsed = parse_arguments(3, arguments, classes, serving_commands());
      command_help("levin", parsed.command, serving_commands());
      for (const auto& each : serving_commands()) {
        if (each.name == command) each.run(parsed, classes);
      }
    });
  };
  const std::string option = error_of("serve", "--max-boddy=1MB");
  EXPECT_NE(option.find("did you mean '--max-body'?"), std::string::npos) << option;
  const std::string command = error_of("serv", "--help");
  EXPECT_NE(command.find("did you mean 'serve'?"), std::string::npos) << command;
}

}  // namespace levin::added_commands_test
