// Online learners with hogwild on ranks of one host, which learn into one state: row 51.
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <torch/torch.h>

#include <levin/callbacks/model_checkpoint.h>
#include <levin/datamodules/array.h>
#include <levin/framework/core/error.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/solvers/optimizer_list.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

#include "distributed/rank_outcome.h"
#include "distributed/run_ranks.h"

namespace levin::test::hogwild_ranks_test {

using HogwildRanks = RanksTest;

constexpr int64_t kRows = 97, kFeatures = 40;

/// Writes down this rank's process once it has learned from a batch.
class Mark : public Callback {
 public:
  explicit Mark(std::string folder) : folder_(std::move(folder)) {}
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step&) override {
    if (is_written_) return;
    std::ofstream(folder_ + "/process-" + std::getenv("RANK")) << ::getpid() << std::flush;
    is_written_ = true;
  }

 private:
  std::string folder_;
  bool is_written_ = false;
};

struct Points {
  torch::Tensor input, target;
};

/// Even rows have entries in even columns only, and odd rows in odd columns.
Points separate_points() {
  torch::manual_seed(3);
  const auto parity = [](int64_t count) { return torch::arange(count).remainder(2); };
  const auto there = parity(kRows).unsqueeze(1).eq(parity(kFeatures).unsqueeze(0));
  const auto few = torch::rand({kRows, kFeatures}).lt(0.4);
  return {torch::randn({kRows, kFeatures}) * there * few, torch::rand({kRows}).lt(0.5)};
}

/// Rows that share few columns. Their targets are drawn, and there are many of them, so that the
/// log-loss hardly depends on the order of the rows: one process that learns from them in other
/// orders ends within 0.0005 of this one's log-loss.
Points sparse_points() {
  torch::manual_seed(7);
  const int64_t rows = 8192, features = 200;
  const auto x = torch::randn({rows, features}) * torch::rand({rows, features}).lt(0.05);
  const auto chances = x.mv(torch::randn({features})).add(0.5).sigmoid();
  return {x, torch::rand({rows}).lt(chances)};
}

double log_loss(LogisticRegression& model, const Points& points) {
  const torch::NoGradGuard no_grad;
  const auto logits = points.input.mv(model.parameters()[0].flatten()) + model.parameters()[1];
  return torch::binary_cross_entropy_with_logits(logits, points.target.to(torch::kFloat))
      .item<double>();
}

/// Trains by the learner that the settings name, and leaves the module's state.
int train(const Value& settings) {
  try {
    const TrainerOptions options = begin_as_rank(settings, settings.at("epochs").as_int());
    const bool is_separate = settings.at("points").as_string() == "separate";
    const auto points = is_separate ? separate_points() : sparse_points();
    ArrayDataModule data(Rows(points.input.to_sparse_csr()), points.target.to(torch::kLong),
                         {.batch_size = settings.at("batch_size").as_int(),
                          .val_split = 0,
                          .test_split = 0,
                          .shuffle = false});
    // A bias would occur in all rows.
    LogisticRegression model(
        {.in_features = points.input.size(1), .num_classes = 2, .bias = !is_separate});
    Trainer trainer(options);
    trainer.set_optimizers([&](Module& module) {
      return shipped_optimizers().make(settings.at("learner").as_string(),
                                       settings.at("learner_settings"), module.parameters());
    });
    if (settings.contains("save_at")) {
      trainer.add<ModelCheckpoint>({.dirpath = settings.at("folder").as_string(),
                                    .save_top_k = -1,
                                    .every_n_train_steps = settings.at("save_at").as_int()});
    }
    if (settings.contains("marks")) {
      trainer.add(std::make_unique<Mark>(settings.at("out").as_string()));
    }
    trainer.fit(model, data,
                settings.contains("ckpt_path") ? settings.at("ckpt_path").as_string() : "");
    StateDict result;
    result.add("model", model.state_dict());
    if (!is_separate) result.values["loss"] = log_loss(model, points);
    leave_result(settings, result);
    return 0;
  } catch (const ConfigError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

/// Global batches of 16 rows.
Value fit_of(const std::string& learner, int64_t ranks) {
  Value value;
  value["points"] = "separate";
  value["epochs"] = 2;
  value["batch_size"] = 16 / ranks;
  value["learner"] = learner;
  value["learner_settings"] = Value::Object{{"learning_rate", 0.05}, {"hogwild", true}};
  return value;
}

fs::path checkpoint_in(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) return entry.path();
  return {};
}

// Rank 0 learns from the even rows, whose columns rank 1 never meets. In one state, each column is
// therefore what one process makes of it, to the bit, and so are its sums of squares, z and n. A
// mean over ranks would be something else. The last batch has a row for rank 0 alone.
TEST_F(HogwildRanks, learn_into_one_state_and_resume_from_it) {
  for (const std::string learner : {"OnlineSGD", "OnlineAdagrad", "FTRL"}) {
    SCOPED_TRACE(learner);
    const auto one = run_on(1, learner + "-one", fit_of(learner, 1), train).rank(0);
    auto settings = fit_of(learner, 2);
    settings["save_at"] = 9;
    settings["folder"] = (folder_ / learner).string();
    const auto two = run_on(2, learner + "-two", settings, train);
    EXPECT_EQ(difference(two.rank(0).child("model"), one.child("model")), 0.0);
    EXPECT_EQ(difference(two.rank(1).child("model"), one.child("model")), 0.0);

    const auto path = checkpoint_in(folder_ / learner);
    const auto state = load_checkpoint(path).child("optimizer").child("0");
    EXPECT_EQ(state.values.at("steps").as_int(), kRows + 2 * 16) << "the rows of all ranks";
    auto rest = fit_of(learner, 2);
    rest["ckpt_path"] = path.string();
    const auto resumed = run_on(2, learner + "-rest", rest, train);
    EXPECT_EQ(difference(resumed.rank(1).child("model"), one.child("model")), 0.0);
  }
}

TEST_F(HogwildRanks, reach_the_log_loss_of_one_process) {
  const auto loss = [this](int64_t ranks, const std::string& name) {
    auto settings = fit_of("OnlineAdagrad", ranks);
    settings["points"] = "sparse";
    settings["learner_settings"]["learning_rate"] = 0.1;
    settings["trainer"]["threads"] = 1;
    settings["epochs"] = 5;
    settings["batch_size"] = 1024 / ranks;
    const auto run = run_on(ranks, name, settings, train);
    EXPECT_EQ(difference(run.rank(ranks - 1).child("model"), run.rank(0).child("model")), 0.0);
    return run.values().at("loss").as_double();
  };
  const double one = loss(1, "one"), two = loss(2, "two");
  EXPECT_LT(one, 0.45) << "it has learned";
  EXPECT_LT(two, one + 1e-3);
}

// Nothing is exchanged in a step, so flags travel when the parameters are read. In float64, with a
// bias.
TEST_F(HogwildRanks, agree_after_each_epoch_and_hear_of_flags) {
  Value settings;
  settings["learner"] = "OnlineAdagrad";
  settings["learner_settings"] = Value::Object{{"learning_rate", 0.01}, {"hogwild", true}};
  settings["global_batch_size"] = 16;
  settings["rows"] = 96;
  settings["val_rows"] = 0;
  settings["trainer"]["max_epochs"] = 2;
  settings["keys"] = 4;
  const auto two = run_on(2, "two", settings);
  EXPECT_EQ(difference(two.rank(1).child("model"), two.rank(0).child("model")), 0.0);
  EXPECT_EQ(two.values(0).at("told"), two.values(1).at("told"));
  EXPECT_EQ(two.values(0).at("told").as_object().size(), 4U);
  EXPECT_EQ(two.values().at("global_step").as_int(), 12);
}

/// As if each rank were on a host of its own.
int train_on_two_hosts(const Value& settings) {
  ::setenv("GROUP_RANK", std::getenv("RANK"), 1);
  ::setenv("GROUP_WORLD_SIZE", "2", 1);
  ::setenv("LOCAL_WORLD_SIZE", "1", 1);
  ::setenv("LOCAL_RANK", "0", 1);
  return train(settings);
}

TEST_F(HogwildRanks, are_refused_on_several_hosts_and_with_averages) {
  auto hosts = fit_of("FTRL", 2);
  hosts["trainer"] = Value::Object{{"devices", 1}, {"num_nodes", 2}};
  hosts = settings("hosts", hosts);
  const auto on_hosts = wait_all(fork_ranks(2, hosts, train_on_two_hosts), hosts);
  EXPECT_NE(on_hosts.status, 0);  // of its own error, or of that of the other rank
  EXPECT_NE(on_hosts.err.find("hogwild of the optimizer FTRL with ranks on 2 hosts"),
            std::string::npos)
      << on_hosts.err;

  auto averages = fit_of("FTRL", 2);
  averages["trainer"]["devices"] = 2;
  averages["learner_settings"]["average_every"] = 4;
  averages = settings("averages", averages);
  const auto with_averages = wait_all(fork_ranks(2, averages, train), averages);
  EXPECT_NE(with_averages.status, 0);
  EXPECT_NE(with_averages.err.find("average_every = 4 and 2 ranks"), std::string::npos)
      << with_averages.err;
}

// The memory has no name, so it is gone with the last process that uses it.
TEST_F(HogwildRanks, end_with_the_name_of_a_rank_that_was_killed_at_a_random_moment) {
  std::mt19937 random(std::random_device{}());
  for (int round = 0; round < 5; ++round) {
    auto endless = fit_of("OnlineAdagrad", 2);
    endless["trainer"] = Value::Object{{"devices", 2}, {"heartbeat_timeout", 3600.0}};
    endless["epochs"] = 100'000'000;
    endless["marks"] = true;
    endless = settings("round-" + std::to_string(round), endless);
    const fs::path out = endless.at("out").as_string();
    const auto started = fork_ranks(2, endless, train);
    ASSERT_TRUE(
        eventually([&] { return fs::exists(out / "process-0") && fs::exists(out / "process-1"); }));
    for (const pid_t process : started) {
      const auto maps = read_file("/proc/" + std::to_string(process) + "/maps");
      const auto found = maps.find("/memfd:levin-");
      ASSERT_NE(found, std::string::npos) << maps;
      EXPECT_NE(maps.find(" (deleted)", found), std::string::npos);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 60));
    const size_t victim = random() % 2;
    ASSERT_EQ(::kill(started[victim], SIGKILL), 0);
    EXPECT_EQ(wait(started[victim], endless).status, 128 + SIGKILL);
    const auto left = wait(started[1 - victim], endless);
    EXPECT_EQ(left.status, 1);
    EXPECT_NE(left.err.find("rank " + std::to_string(victim)), std::string::npos) << left.err;
  }
}

}  // namespace levin::test::hogwild_ranks_test
