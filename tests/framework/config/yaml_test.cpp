#include <levin/framework/config/yaml.h>

#include <cmath>

#include <gtest/gtest.h>

#include <levin/framework/core/error.h>

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
  expect_contains(error_of("a: 1\nb: [1, 2\n"), "job.yaml:3: not valid YAML");
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

}  // namespace levin::yaml_test
