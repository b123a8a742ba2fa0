#include <levin/framework/config/settings.h>

#include <gtest/gtest.h>

#include <levin/framework/config/yaml.h>

#include "framework/message_of.h"

namespace levin::settings_test {

struct Sample {
  bool on = false;
  int64_t count = 3;
  double rate = 0.1;
  std::string word{};
  std::string kind = "a";
  std::optional<int64_t> limit = 5;
  std::optional<std::string> label{};
  std::vector<int64_t> sizes{};
  std::vector<std::string> names{};
  CountOrFraction share{};
};

Fields describe(Sample& s) {
  return fields_of<Sample>({{"on", &s.on, ""},
                            {"count", &s.count, ""},
                            {"rate", &s.rate, ""},
                            {"word", &s.word, ""},
                            {"kind", &s.kind, ""},
                            {"limit", &s.limit, ""},
                            {"label", &s.label, ""},
                            {"sizes", &s.sizes, ""},
                            {"names", &s.names, ""},
                            {"share", &s.share, ""}});
}

Sample read(const std::string& yaml, const ReadOptions& options = {}) {
  Sample sample;
  read_settings(describe(sample), parse_yaml(yaml, "job.yaml"), "model", options);
  return sample;
}

std::string error_of(const std::string& yaml) {
  try {
    read(yaml);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(ConfigSettings, every_type_of_setting_is_read) {
  const Sample sample = read(
      "{on: true, count: 7, rate: 1, word: x, limit: null, label: y, sizes: [3, 4], "
      "names: [a, b], share: 0.5}");
  EXPECT_TRUE(sample.on);
  EXPECT_EQ(sample.count, 7);
  EXPECT_EQ(sample.rate, 1.0);
  EXPECT_EQ(sample.word, "x");
  EXPECT_FALSE(sample.limit);
  EXPECT_EQ(sample.label, "y");
  EXPECT_EQ(sample.sizes, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(sample.names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(sample.share.fraction(), 0.5);
}

TEST(ConfigSettings, text_is_taken_as_it_is_written) {
  const Sample sample = read("{word: 1.10, label: 007, names: [1, true]}");
  EXPECT_EQ(sample.word, "1.10");
  EXPECT_EQ(sample.label, "007");
  EXPECT_EQ(sample.names, (std::vector<std::string>{"1", "true"}));
}

TEST(ConfigSettings, brackets_on_the_command_line_are_text_if_the_setting_is_text) {
  ConfigNode object = ConfigNode::object({});
  const auto set = [&](const char* name, const char* value) {
    object.members.push_back({name, {}, parse_argument(value)});
  };
  set("word", "{epoch}");
  set("kind", "{epoch}-{val_loss}");
  set("label", "[1]");
  set("sizes", "[3, 4]");
  set("names", "[a, 007]");
  Sample sample;
  read_settings(describe(sample), object, "model");
  EXPECT_EQ(sample.word, "{epoch}");
  EXPECT_EQ(sample.kind, "{epoch}-{val_loss}");
  EXPECT_EQ(sample.label, "[1]");
  EXPECT_EQ(sample.sizes, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(sample.names, (std::vector<std::string>{"a", "007"}));
  EXPECT_EQ(error_of("word: {epoch}"), "job.yaml:1: model.word = {\"epoch\":null}: expected str");
  object.members.clear();
  set("sizes", "[32,16");
  EXPECT_EQ(
      test::message_of<ConfigError>([&] { read_settings(describe(sample), object, "model"); }),
      "command line: model.sizes = \"[32,16\": expected list of int; its closing ] is missing");
}

TEST(ConfigSettings, a_wrong_type_names_file_line_key_value_and_what_was_expected) {
  EXPECT_EQ(error_of("on: true\ncount: many\n"),
            "job.yaml:2: model.count = \"many\": expected int");
  EXPECT_EQ(error_of("rate: fast"), "job.yaml:1: model.rate = \"fast\": expected float");
  EXPECT_EQ(error_of("on: 1"), "job.yaml:1: model.on = 1: expected bool");
  EXPECT_EQ(error_of("count: 1.5"), "job.yaml:1: model.count = 1.5: expected int");
  EXPECT_EQ(error_of("sizes: 32"),
            "job.yaml:1: model.sizes = 32: expected list of int; a list of one is written as [32]");
  EXPECT_EQ(error_of("\n\nsizes: [32, x]"),
            "job.yaml:3: model.sizes = [32,\"x\"]: expected list of int");
  EXPECT_EQ(error_of("count:"), "job.yaml:1: model.count = null: expected int");
  EXPECT_EQ(error_of("kind: null"), "job.yaml:1: model.kind = null: expected str");
}

TEST(ConfigSettings, an_unknown_key_names_the_nearest_one) {
  EXPECT_EQ(error_of("rate: 1\ncuont: 2\n"),
            "job.yaml:2: model: unknown key 'cuont'; did you mean 'count'?");
}

TEST(ConfigSettings, null_empties_text_that_is_empty_by_default) {
  EXPECT_EQ(read("word: null").word, "");
}

TEST(ConfigSettings, null_leaves_the_trainers_defaults) {
  const Sample sample = read("{count: null, limit: null}", {.null_keeps_default = true});
  EXPECT_EQ(sample.count, 3);
  EXPECT_FALSE(sample.limit);
}

TEST(ConfigSettings, a_setting_that_only_another_class_has_is_ignored_and_named) {
  const ReadOptions options{.other_class_with = [](std::string_view key) {
    return key == "depth" ? std::string("Deep") : std::string();
  }};
  Sample sample;
  const auto ignored = read_settings(
      describe(sample), parse_yaml("depth: 3\ncount: 4\n", "job.yaml"), "model", options);
  EXPECT_EQ(ignored, std::vector<std::string>{"depth (job.yaml:1, a setting of Deep)"});
  EXPECT_EQ(sample.count, 4);
  EXPECT_THROW(read_settings(describe(sample), parse_yaml("dpth: 3", "job.yaml"), "model", options),
               ConfigError);
}

TEST(ConfigSettings, settings_must_be_an_object) {
  EXPECT_EQ(error_of("[1, 2]"), "job.yaml:1: model = [1,2]: expected settings, `key: value` lines");
}

TEST(ConfigSettings, what_a_class_finds_wrong_gets_the_line_of_its_setting) {
  const ConfigNode node = parse_yaml("on: true\ncount: -3\n", "job.yaml");
  const auto located = [&](const ConfigError& error) {
    try {
      throw_at(error, node, "model");
    } catch (const ConfigError& thrown) {
      return std::string(thrown.what());
    }
  };
  EXPECT_EQ(located(ConfigError::invalid_value("count", "-3", "must be at least 1")),
            "job.yaml:2: model.count = -3: must be at least 1");
  EXPECT_EQ(located(ConfigError::invalid_value("rate", "0", "must be above 0")),
            "job.yaml:1: model: rate = 0: must be above 0");
}

}  // namespace levin::settings_test
