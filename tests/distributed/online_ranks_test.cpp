// Online learners on several ranks, which learn by themselves and average their weights.
#include "distributed/run_ranks.h"

namespace levin::test::online_ranks_test {

using OnlineRanks = RanksTest;

Value learner(const std::string& name, int64_t rows_a_step, int64_t average_every) {
  Value value;
  value["learner"] = name;
  value["learner_settings"] = Value::Object{
      {"learning_rate", 0.01}, {"rows_a_step", rows_a_step}, {"average_every", average_every}};
  value["global_batch_size"] = 16;
  value["rows"] = 96;
  value["val_rows"] = 0;
  value["trainer"]["max_epochs"] = 2;
  return value;
}

// The mean of the weights after a step of each rank is a step by all of their rows.
TEST_F(OnlineRanks, averaged_after_each_batch_they_equal_one_process) {
  const auto settings = learner("OnlineSGD", 0, 1);
  const auto one = run_on(1, "one", settings).rank(0);
  const auto two = run_on(2, "two", settings);
  EXPECT_LE(difference(two.rank(0).child("model"), one.child("model")), 1e-12);
  EXPECT_EQ(difference(two.rank(1).child("model"), two.rank(0).child("model")), 0.0);
  EXPECT_NEAR(two.values().at("fit").at("train_loss").as_double(),
              one.values.at("fit").at("train_loss").as_double(), 1.0);
  EXPECT_EQ(two.values().at("global_step"), one.values.at("global_step"));
}

// A flag of Ranks::any_after_step reaches all ranks, though no gradients are summed.
TEST_F(OnlineRanks, averaged_after_each_epoch_they_agree_and_hear_of_flags) {
  auto settings = learner("OnlineAdagrad", 1, 0);
  settings["keys"] = 4;
  const auto two = run_on(2, "two", settings);
  EXPECT_EQ(difference(two.rank(1).child("model"), two.rank(0).child("model")), 0.0);
  EXPECT_EQ(two.values(0).at("told"), two.values(1).at("told"));
  EXPECT_EQ(two.values(0).at("told").as_object().size(), 4U);
  EXPECT_EQ(two.values().at("global_step").as_int(), 12);
}

// In the middle of the second epoch, where the ranks have learned different things since they
// averaged: a checkpoint makes them average once more, in the run that goes on, too.
TEST_F(OnlineRanks, resume_with_the_same_bits) {
  for (const char* name : {"OnlineAdagrad", "FTRL"}) {
    SCOPED_TRACE(name);
    auto settings = learner(name, 1, 4);
    settings["checkpoint"] = Value::Object{{"every_n_train_steps", 9},
                                           {"save_top_k", -1},
                                           {"filename", "at-{step}"},
                                           {"dirpath", (folder_ / name).string()}};
    const auto whole = run_on(2, std::string("whole-") + name, settings);
    for (const auto& entry : fs::recursive_directory_iterator(folder_ / name)) {
      settings["ckpt_path"] = entry.path().string();
    }
    ASSERT_NE(settings["ckpt_path"].as_string().find("9"), std::string::npos);
    const auto rest = run_on(2, std::string("rest-") + name, settings);
    EXPECT_EQ(rest.values().at("global_step").as_int(), 12);
    for (const int64_t rank : {0, 1}) {
      EXPECT_EQ(difference(rest.rank(rank).child("model"), whole.rank(rank).child("model")), 0.0);
      EXPECT_EQ(rest.values(rank).at("fit").at("train_loss"),
                whole.values(rank).at("fit").at("train_loss"));
    }
  }
}

}  // namespace levin::test::online_ranks_test
