#include <levin/cli/arguments.h>

#include <gtest/gtest.h>

#include <levin/framework/config/registry.h>
#include <levin/framework/core/error.h>

namespace levin::arguments_test {

Arguments parse(std::vector<const char*> words) {
  words.insert(words.begin(), "/usr/bin/levin");
  Registry registry;
  registry.default_callbacks = {{"enable_bar", "Bar", "Show it"}};
  return parse_arguments(static_cast<int>(words.size()), words.data(), registry);
}

std::string error_of(const std::vector<const char*>& words) {
  try {
    parse(words);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Arguments, options_are_taken_apart) {
  const Arguments a = parse({"fit", "-c", "a.yaml", "--config=b.yaml", "--json", "--print-config",
                             "--output", "x.npz", "--metric=val_acc", "--metric", "val_loss"});
  EXPECT_EQ(a.program, "levin");
  EXPECT_EQ(a.command, "fit");
  EXPECT_EQ(a.configs, (std::vector<std::string>{"a.yaml", "b.yaml"}));
  EXPECT_TRUE(a.json);
  EXPECT_TRUE(a.print_config);
  EXPECT_EQ(a.output, "x.npz");
  EXPECT_EQ(a.metrics, (std::vector<std::string>{"val_acc", "val_loss"}));
}

TEST(Arguments, settings_become_overrides_in_order) {
  const Arguments a =
      parse({"fit", "--trainer.max_epochs=5", "--trainer.max_steps", "-1", "--model", "MLP",
             "--trainer.callbacks+=Timer", "--ckpt-path", "last", "--trainer.deterministic",
             "--trainer.fast_dev_run", "--trainer.max_time="});
  ASSERT_EQ(a.overrides.size(), 8U);
  EXPECT_EQ(a.overrides[0].path, "trainer.max_epochs");
  EXPECT_EQ(a.overrides[0].value.plain(), Value(5));
  EXPECT_EQ(a.overrides[1].value.plain(), Value(-1));
  EXPECT_EQ(a.overrides[2].path, "model");
  EXPECT_TRUE(a.overrides[3].append);
  EXPECT_EQ(a.overrides[3].path, "trainer.callbacks");
  EXPECT_EQ(a.overrides[4].path, "ckpt_path");
  EXPECT_EQ(a.overrides[5].value.plain(), Value(true));  // no value: on
  EXPECT_EQ(a.overrides[6].value.plain(), Value(true));
  EXPECT_EQ(a.overrides[7].value.plain(), Value());
}

TEST(Arguments, words_after_the_command_are_kept) {
  const Arguments a = parse({"plot", "levin_logs/version_3"});
  EXPECT_EQ(a.words, std::vector<std::string>{"levin_logs/version_3"});
}

TEST(Arguments, help_may_be_asked_for_a_class) {
  EXPECT_EQ(parse({"fit", "--model.help", "MLP"}).help_about, "MLP");
  EXPECT_EQ(parse({"fit", "--model.help=MLP"}).help_about, "MLP");
  EXPECT_EQ(parse({"fit", "--trainer.help"}).help_about, "trainer");
  EXPECT_TRUE(parse({"fit", "-h"}).help);
}

TEST(Arguments, what_is_no_option_is_refused_with_the_nearest) {
  EXPECT_EQ(error_of({"fit", "--jsn"}), "unknown option '--jsn'; did you mean '--json'?");
  EXPECT_EQ(error_of({"fit", "--max_epochs=3"}),
            "unknown option '--max_epochs'; did you mean '--trainer.max_epochs'?");
  EXPECT_EQ(error_of({"fit", "--callbacks+=Timer"}),
            "unknown option '--callbacks'; did you mean '--trainer.callbacks'?");
  EXPECT_EQ(error_of({"fit", "--enable-bar=false"}),
            "unknown option '--enable_bar'; did you mean '--trainer.enable_bar'?");
  EXPECT_EQ(error_of({"fit", "-x"}), "unknown option '-x'; see levin --help");
  EXPECT_EQ(error_of({"fit", "--config"}), "--config needs a value: --config=VALUE");
  EXPECT_EQ(error_of({"fit", "--model", "--json"}), "--model needs a value: --model=VALUE");
  EXPECT_EQ(error_of({"fit", "--json=yes"}), "--json takes no value, but got 'yes'");
}

}  // namespace levin::arguments_test
