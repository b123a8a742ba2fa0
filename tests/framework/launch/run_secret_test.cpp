#include <levin/framework/launch/run_secret.h>

#include <gtest/gtest.h>

#include <string>

namespace levin::test::run_secret_test {

TEST(RunSecret, opens_only_what_was_sealed_with_it_for_the_same_key) {
  const RunSecret secret("one");
  const std::string value("a\0b\xff", 4);
  const std::string sealed = secret.seal("key", value);
  EXPECT_EQ(secret.open("key", sealed), value);
  EXPECT_EQ(RunSecret("one").open("key", sealed), value);
  EXPECT_EQ(RunSecret("two").open("key", sealed), std::nullopt);
  EXPECT_EQ(secret.open("another key", sealed), std::nullopt);
  EXPECT_EQ(secret.open("key", value), std::nullopt);
  EXPECT_EQ(secret.open("key", ""), std::nullopt);
  EXPECT_EQ(secret.open("key", secret.seal("key", "")), "");
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string altered = sealed;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    EXPECT_EQ(secret.open("key", altered), std::nullopt) << i;
    EXPECT_EQ(secret.open("key", sealed.substr(0, i)), std::nullopt) << i;
  }
}

TEST(RunSecret, hides_the_value) {
  const RunSecret secret("one");
  EXPECT_EQ(secret.seal("key", "the token").find("token"), std::string::npos);
  EXPECT_NE(secret.seal("key", "same"), secret.seal("key", "same"));
}

TEST(RunSecret, none_changes_nothing) {
  const RunSecret none;
  EXPECT_FALSE(none.is_set());
  EXPECT_EQ(none.seal("key", "value"), "value");
  EXPECT_EQ(none.open("key", "value"), "value");
  EXPECT_EQ(none.proof("text"), "text");
}

TEST(RunSecret, proofs_depend_on_the_secret_and_the_text) {
  const std::string proof = RunSecret("one").proof("text");
  EXPECT_EQ(proof.size(), 32U);
  EXPECT_EQ(RunSecret("one").proof("text"), proof);
  EXPECT_NE(RunSecret("two").proof("text"), proof);
  EXPECT_NE(RunSecret("one").proof("texts"), proof);
}

TEST(RunSecret, a_random_one_is_another_each_time) {
  EXPECT_EQ(random_secret().size(), 32U);
  EXPECT_NE(random_secret(), random_secret());
}

}  // namespace levin::test::run_secret_test
