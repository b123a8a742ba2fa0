#include <levin/framework/config/yaml.h>

#include <cmath>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include <levin/framework/config/merge.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

#include "framework/message_of.h"
#include "framework/peak_memory.h"
#include "framework/temporary_folder.h"

namespace levin::yaml_test {

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text << "\n  lacks: " << part;
}

std::string error_of(const std::string& text) {
  try {
    parse_yaml(text, "job.yaml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

Value plain(const std::string& text) { return parse_yaml(text, "job.yaml").plain(); }

TEST(ConfigYaml, knows_the_line_of_every_key_and_value) {
  const ConfigNode root = parse_yaml("a: 1\n\nb:\n  c: [x,\n    y]\n", "dir/job.yaml");
  EXPECT_EQ(root.find("a")->origin.to_string(), "dir/job.yaml:1");
  EXPECT_EQ(root.members[1].origin.to_string(), "dir/job.yaml:3");
  EXPECT_EQ(root.find("b")->find("c")->items[1].origin.to_string(), "dir/job.yaml:5");
}

TEST(ConfigYaml, resolves_scalars_as_yaml_1_2_does) {
  EXPECT_EQ(plain("3"), Value(3));
  EXPECT_EQ(plain("-17"), Value(-17));
  EXPECT_EQ(plain("0x1F"), Value(31));
  EXPECT_EQ(plain("100_000"), Value(100000));
  EXPECT_EQ(plain("3.0"), Value(3.0));
  EXPECT_EQ(plain("1e-3"), Value(1e-3));
  EXPECT_EQ(plain("+.5"), Value(0.5));
  EXPECT_EQ(plain("-.inf"), Value(-INFINITY));
  EXPECT_TRUE(std::isnan(plain(".nan").as_double()));
  EXPECT_EQ(plain("true"), Value(true));
  EXPECT_EQ(plain("~"), Value());
  EXPECT_EQ(plain("no"), Value("no"));
  EXPECT_EQ(plain("nan"), Value("nan"));
  EXPECT_EQ(plain("1.2.3"), Value("1.2.3"));
  EXPECT_EQ(plain("00:12:30"), Value("00:12:30"));
  EXPECT_EQ(plain("'3'"), Value("3"));
  EXPECT_EQ(plain("\"true\""), Value("true"));
  EXPECT_EQ(plain("99999999999999999999"), Value(99999999999999999999.0));
}

TEST(ConfigYaml, reads_an_empty_file_as_nothing) {
  EXPECT_TRUE(parse_yaml("", "job.yaml").is_null());
  EXPECT_TRUE(parse_yaml("# only a comment\n", "job.yaml").is_null());
}

TEST(ConfigYaml, anchors_and_merges_work) {
  const Value root = plain("base: &b {x: 1, y: 2}\nother:\n  <<: *b\n  y: 3\n");
  EXPECT_EQ(root.at("other"), Value(Value::Object{{"x", 1}, {"y", 3}}));
}

TEST(ConfigYaml, broken_text_is_refused_with_file_and_line) {
  expect_contains(error_of("a: 1\nb: [1, 2\n"),
                  "job.yaml:3: not valid YAML: a list that [ began isn't closed; add ] at its end");
  expect_contains(error_of("a: 1\nb: {c: 2\n"), "an object that { began isn't closed; add }");
  expect_contains(
      error_of("a:\n  b: 1\n\tc: 2\n"),
      "job.yaml:3: not valid YAML: the line is indented by a tab; indent it with spaces");
  expect_contains(error_of("a: 1\n  b: 2\n"), "job.yaml:2: not valid YAML");
  expect_contains(error_of("a: *nowhere\n"), "job.yaml:1: not valid YAML");
  expect_contains(error_of("a: 1\n---\nb: 2\n"), "2 documents");
  expect_contains(error_of("[1]: 2\n"), "a key must be a word");
}

TEST(ConfigYaml, a_key_that_is_there_twice_is_refused) {
  EXPECT_EQ(error_of("a:\n  x: 1\n  y: 2\n  x: 3\n"),
            "job.yaml:4: the key 'x' is there twice, first in line 2; remove one");
}

TEST(ConfigYaml, aliases_can_not_blow_up_a_small_file) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string previous = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + previous;
    for (int j = 0; j < 9; ++j) text += ", " + previous;
    text += "]\n";
  }
  expect_contains(error_of(text), "too large");
}

TEST(ConfigYaml, aliases_of_long_text_are_refused_before_they_take_memory) {
  const std::string text(1 << 20, 'x');
  std::string aliases;
  for (int i = 0; i < 1000; ++i) aliases += ", *a";
  for (const std::string& anchor : {"a: &a " + text, "a: &a\n  ? " + text + "\n  : 1"}) {
    test::forget_peak();
    const int64_t before = test::peak_memory();
    expect_contains(error_of(anchor + "\nb: [1" + aliases + "]\n"), "job.yaml:");
    expect_contains(error_of(anchor + "\nb: [1" + aliases + "]\n"), "2 MiB of text");
    EXPECT_LT(test::peak_memory() - before, int64_t{100} << 20);
  }
}

TEST(ConfigYaml, aliases_can_not_nest_deeper_than_brackets) {
  const auto nested = [](int outer, int inner) {
    return "a: &a " + std::string(static_cast<size_t>(inner), '[') + "1" +
           std::string(static_cast<size_t>(inner), ']') +
           "\nb: " + std::string(static_cast<size_t>(outer), '[') + "*a" +
           std::string(static_cast<size_t>(outer), ']') + "\n";
  };
  EXPECT_NO_THROW(plain(nested(0, 63)));  // with the object around them, 64 levels
  EXPECT_NO_THROW(plain(nested(23, 40)));
  EXPECT_NO_THROW(plain(nested(63, 0)));
  expect_contains(error_of(nested(24, 40)), "job.yaml:2: nested too deeply");
  expect_contains(error_of(nested(64, 0)), "job.yaml:2: nested too deeply");
  expect_contains(error_of(nested(0, 64)), "job.yaml:1: nested too deeply");
}

TEST(ConfigYaml, what_follows_the_end_is_refused_with_its_line) {
  // yaml-cpp's LoadAll never ends with the first two of these.
  expect_contains(error_of(","), "job.yaml:1: not valid YAML: found ','");
  expect_contains(error_of("[1, 2]\n,\n"), "job.yaml:2: not valid YAML: found ','");
  expect_contains(error_of("'a'\n# b\n, c\n"), "job.yaml:3: not valid YAML: found ', c'");
  expect_contains(error_of("a: 1\n---\nb: 2\n"), "job.yaml:2: found 2 documents");
  expect_contains(error_of("{a: 1} x"),
                  "job.yaml:1: not valid YAML: found 'x' where the text should end (column 8)");
  const std::string long_rest = std::string(19, 'x');
  expect_contains(error_of("{a: 1} " + long_rest + "\u20acyz"), "found '" + long_rest + "' where");
}

TEST(ConfigYaml, an_alias_of_what_contains_it_is_refused) {
  expect_contains(error_of("a: &a\n  - *a\n"), "job.yaml:2: the alias");
}

TEST(ConfigYaml, aliases_of_anchors_in_anchors_work) {
  const Value root = plain("a: &a {b: &b [1, 2], c: *b}\nd: *a\ne: *b\n");
  const Value list = Value::Array{1, 2};
  EXPECT_EQ(root.at("d"), Value(Value::Object{{"b", list}, {"c", list}}));
  EXPECT_EQ(root.at("e"), list);
}

/// With a time for each key that grows with the number of keys, this took more than 30 s.
TEST(ConfigYaml, ninety_thousand_keys_are_read_and_merged_in_linear_time) {
  std::string text = "class_path: MLP\n";
  for (int i = 0; i < 90'000; ++i) text += "key" + std::to_string(i) + ": 1\n";
  ConfigNode root = ConfigNode::object({});
  root.members.push_back({"model", {}, parse_yaml(text, "job.yaml")});
  normalise(root);
  const ConfigNode* arguments = root.find("model")->find("init_args");
  ASSERT_NE(arguments, nullptr);
  EXPECT_EQ(arguments->members.size(), 90'000U);
  ConfigNode base = root;
  merge(base, root);
  EXPECT_EQ(base.find("model")->find("init_args")->members.size(), 90'000U);
  expect_contains(error_of(text + "key89999: 2\n"),
                  "job.yaml:90002: the key 'key89999' is there twice, first in line 90001");
}

TEST(ConfigYaml, more_values_or_levels_than_any_configuration_has_are_refused_with_the_line) {
  std::string many = "a:\n";
  for (int i = 0; i < 100'001; ++i) many += "- 1\n";  // the first one is in line 2
  expect_contains(error_of(many), "job.yaml:100002: nested too deeply or too large");
  expect_contains(error_of(std::string(100'000, '[')), "job.yaml:1: nested too deeply");
  std::string deep = "a: ";
  for (int i = 0; i < 70; ++i) deep += "{a: ";
  expect_contains(error_of(deep), "job.yaml:1: nested too deeply");
}

TEST(ConfigYaml, brackets_that_never_close_take_no_memory) {
  constexpr size_t kBytes = 2 << 20;
  for (const char bracket : {'[', '{'}) {
    const std::string text(kBytes, bracket);
    test::forget_peak();
    const int64_t before = test::peak_memory();
    expect_contains(error_of(text), "job.yaml:1: nested too deeply");
    EXPECT_LT(test::peak_memory() - before, int64_t{8 * kBytes}) << bracket;
  }
  EXPECT_EQ(plain("a: '" + std::string(1000, '[') + "'").at("a").as_string().size(), 1000U);
}

TEST(ConfigYaml, a_file_without_an_end_is_refused) {
  const test::TemporaryFolder folder;
  files::write_atomically(folder / "large.yaml", std::string((2 << 20) + 1, '#'));
  for (const std::string& path : {(folder / "large.yaml").string(), std::string("/dev/zero")}) {
    try {
      read_yaml(path);
      ADD_FAILURE() << path;
    } catch (const ConfigError& error) {
      expect_contains(error.what(), "'" + path + "': it holds more than 2097152 bytes");
    }
  }
}

TEST(ConfigYaml, a_file_that_is_no_text_is_refused) {
  const test::TemporaryFolder folder;
  const std::string path = (folder / "best.ckpt").string();
  files::write_atomically(path, std::string("\x10\0\0{\"model\": 1}", 15));
  EXPECT_EQ(
      test::message_of<ConfigError>([&] { read_yaml(path); }),
      "the configuration: '" + path + "' isn't a text file; a checkpoint is given as --ckpt-path");
}

TEST(ConfigYaml, a_bracket_that_is_not_closed_is_said_to_be_missing) {
  for (const char* text : {"[", "[a, b", "{a: [1, 2}", "a: {b: [c"}) {
    expect_contains(error_of(text), "job.yaml:1: not valid YAML: ");
  }
}

TEST(ConfigYaml, a_tilde_is_the_home_folder) {
  const char* const home = std::getenv("HOME");
  if (home == nullptr) GTEST_SKIP() << "HOME isn't set";
  try {
    read_yaml("~/not there.yaml");
    ADD_FAILURE();
  } catch (const ConfigError& error) {
    expect_contains(error.what(), "'" + std::string(home) + "/not there.yaml'");
  }
}

TEST(ConfigYaml, a_file_that_is_not_there_is_a_configuration_error) {
  EXPECT_THROW(read_yaml("/nowhere/job.yaml"), ConfigError);
}

TEST(ConfigYaml, arguments_are_scalars_unless_they_are_in_brackets_or_quotes) {
  EXPECT_EQ(parse_argument("[32, 16]").plain(), Value(Value::Array{32, 16}));
  EXPECT_EQ(parse_argument("{a: 1}").plain(), Value(Value::Object{{"a", 1}}));
  EXPECT_EQ(parse_argument("'3'").plain(), Value("3"));
  EXPECT_EQ(parse_argument("a: b # c").plain(), Value("a: b # c"));
  EXPECT_EQ(parse_argument("").plain(), Value());
  EXPECT_EQ(parse_argument("{a: 1}").find("a")->origin.to_string(), "command line");
}

TEST(ConfigYaml, arguments_whose_brackets_are_no_yaml_are_text_others_keep_theirs) {
  for (const char* text : {"{epoch}-{val_loss}", "[1].csv", "[ab]*.csv", "[32,16", "{a: 1} x"}) {
    const ConfigNode node = parse_argument(text);
    EXPECT_TRUE(node.is_scalar()) << text;
    EXPECT_EQ(node.plain(), Value(text));
  }
  EXPECT_TRUE(parse_argument("{epoch}").is_object());
  EXPECT_EQ(parse_argument("{epoch}").text, "{epoch}");
  EXPECT_EQ(parse_argument("[1]").text, "[1]");
  EXPECT_EQ(plain("{a: {b: 1}}"), Value(Value::Object{{"a", Value::Object{{"b", 1}}}}));
  try {
    parse_argument("'a' x");
    ADD_FAILURE() << "no error";
  } catch (const ConfigError& error) {
    expect_contains(error.what(), "command line: not valid YAML: found 'x'");
  }
}

}  // namespace levin::yaml_test
