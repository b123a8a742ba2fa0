#include <levin/cli/completion.h>

#include <regex>

#include <levin/cli/arguments.h>
#include <levin/cli/help.h>
#include <levin/framework/config/job.h>
#include <levin/framework/core/error.h>
#include <levin/serving/commands/serving_commands.h>

#include "cli/program.h"
#include "framework/message_of.h"

namespace levin::test::completion_test {

/// The scripts, in a folder with the file `net.yaml`.
class Completion : public ::testing::Test {
 protected:
  Completion() {
    std::ofstream(folder_ / "net.yaml") << "model: MLP\n";
    for (const char* shell : {"bash", "zsh", "fish"}) {
      std::ofstream(folder_ / shell)
          << completion_script(shell, "levin", shipped_classes(), serving_commands());
    }
  }
  /// What a shell command prints that runs in the folder, and its status behind it.
  std::string output_of(const std::string& command) const {
    const std::string line =
        "cd '" + folder_.string() + "' && { " + command + "; echo \"status $?\"; } 2>&1";
    std::FILE* pipe = ::popen(line.c_str(), "r");
    std::string text;
    for (int c = 0; pipe != nullptr && (c = std::fgetc(pipe)) != EOF;) {
      text += static_cast<char>(c);
    }
    if (pipe != nullptr) ::pclose(pipe);
    return text;
  }

  TemporaryFolder folder_;
};

TEST_F(Completion, of_bash_knows_commands_settings_classes_and_files) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"levin f", "fit"},
      {"levin ru", "runs"},
      {"levin fit --trainer.max_e", "--trainer.max_epochs="},
      {"levin fit --json --model ML", "MLP"},
      {"levin fit --model=ML", "MLP"},
      {"levin fit --model.hidden", "--model.hidden_sizes="},
      {"levin fit --trainer.callbacks+=Early", "EarlyStopping"},
      {"levin fit --trainer.enable_progress_bar=f", "false"},
      {"levin fit --lr_scheduler.interv", "--lr_scheduler.interval="},
      {"levin fit --config ne", "net.yaml"},
      {"levin test --ckpt-path=be", "best"},
      {"levin fit --jso", "--json"},
      {"levin fit --outp", ""},
      {"levin predict --outp", "--output="},
      {"levin list datam", "datamodules"},
      {"levin help Iris", "IrisDataModule"},
      {"levin export --format=on", "onnx"},
      {"levin convert --rows", "--rows_per_shard="},
      {"levin completion z", "zsh"},
      {"levin export ne", "net.yaml"},
      {"levin ser", "serve"},
      {"levin serve --tls", "--tls-certificate= --tls-key="},
      {"levin serve ne", "net.yaml"},
      {"levin serve --token-file=ne", "net.yaml"},
      {"levin bench-serve --swe", "--sweep="},
      {"levin bench-serve --jso", "--json"},
      {"levin serve --jso", ""},
  };
  std::string script =
      "bash -c '. ./bash; try() { COMP_LINE=$1; COMP_POINT=${#1}; _levin; "
      "echo \"${COMPREPLY[*]}\"; }; ";
  for (const auto& [line, expected] : cases) script += "try \"" + line + "\"; ";
  const std::string text = output_of(script + "'");
  const auto lines = [&] {
    std::vector<std::string> all;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) all.push_back(line);
    return all;
  }();
  ASSERT_EQ(lines.size(), cases.size() + 1) << text;
  for (size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(lines[i], cases[i].second) << cases[i].first;
  }
}

TEST_F(Completion, of_bash_keeps_names_of_files_with_spaces_whole) {
  std::ofstream(folder_ / "my net.yaml") << "model: MLP\n";
  std::ofstream(folder_ / "my own.yaml") << "model: MLP\n";
  std::ofstream(folder_ / "lines") << R"(levin fit --config=my\ n
levin fit --config "my o
levin export 'my n
levin export my\ o
levin fit --config my\ net.yaml --trainer.max_ep
levin fit --config nothing
)";
  EXPECT_EQ(output_of("bash -c '. ./bash; while IFS= read -r line; do COMP_LINE=$line; "
                      "COMP_POINT=${#line}; _levin; printf \"<%s>\" \"${COMPREPLY[@]}\"; echo; "
                      "done < lines'"),
            "<my net.yaml>\n<my own.yaml>\n"
            "<my net.yaml>\n<my own.yaml>\n"
            "<--trainer.max_epochs=>\n<>\nstatus 0\n");
}

TEST_F(Completion, offers_only_options_that_the_program_takes) {
  const Registry classes = shipped_classes();
  const std::string script = read_file(folder_ / "bash");
  const std::regex line("    ([a-z|]+)\\) options='([^']*)'");
  size_t count = 0;
  for (std::sregex_iterator each(script.begin(), script.end(), line), end; each != end; ++each) {
    const std::string all = (*each)[1];
    const std::string command = all.substr(0, all.find('|'));
    std::istringstream options((*each)[2]);
    for (std::string option; options >> option; ++count) {
      if (option.ends_with('=')) option += "1";
      const char* arguments[] = {"levin", command.c_str(), option.c_str()};
      EXPECT_NO_THROW(parse_arguments(3, arguments, classes, serving_commands()))
          << command << " " << option;
      const std::string key = option.substr(2, option.find_first_of("+=") - 2);
      if (key.starts_with("trainer.")) {
        EXPECT_TRUE(is_trainer_key(classes, key.substr(8))) << key;
      }
    }
  }
  EXPECT_GT(count, 400U);
  for (const auto& command : commands()) {
    EXPECT_NE(script.find(command.name), std::string::npos) << command.name;
  }
}

TEST_F(Completion, scripts_are_ones_that_the_shells_read) {
  size_t checked = 0;
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    if (output_of("command -v " + shell).find('/') == std::string::npos) continue;
    EXPECT_EQ(output_of(shell + " -n ./" + shell), "status 0\n") << shell;
    ++checked;
  }
  EXPECT_GE(checked, 1U) << "there is always a bash";
  if (output_of("command -v fish").find('/') == std::string::npos) return;
  EXPECT_EQ(output_of("fish -c 'source fish; complete -C \"levin fit --model=ML\"'"),
            "--model=MLP\tclass\nstatus 0\n");
}

TEST_F(Completion, is_printed_for_the_name_of_the_program_and_refuses_other_shells) {
  Registry classes = shipped_classes();
  const std::string script = completion_script("bash", "mine", classes);
  EXPECT_NE(script.find("complete -F _levin mine\n"), std::string::npos);
  EXPECT_EQ(message_of<ConfigError>([&] { completion_script("basch", "levin", classes); }),
            "unknown shell 'basch'; did you mean 'bash'?");
}

}  // namespace levin::test::completion_test
