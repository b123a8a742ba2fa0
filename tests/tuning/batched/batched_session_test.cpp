#include <levin/tuning/batched/batched_session.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

#include <levin/cli/find_checkpoint.h>
#include <levin/cli/session.h>
#include <levin/cli/shipped_classes.h>
#include <levin/framework/config/load_module.h>
#include <levin/framework/config/yaml.h>
#include <levin/framework/core/files.h>
#include <levin/tuning/batched/batchable.h>

namespace levin::batched_session_test {

class BatchedSessionTest : public ::testing::Test {
 protected:
  /// The job with these settings; its folder is `name`.
  Job job(const std::string& name, const std::vector<std::string>& settings) const {
    const std::string text = fmt::format(
        "seed_everything: 3\n"
        "trainer:\n"
        "  max_epochs: 4\n"
        "  accelerator: cpu\n"
        "  log_every_n_steps: 3\n"
        "  enable_progress_bar: false\n"
        "  enable_model_summary: false\n"
        "  default_root_dir: '{}'\n"
        "  logger: [CsvLogger]\n"
        "  callbacks:\n"
        "    - class_path: ModelCheckpoint\n"
        "      init_args: {{monitor: val_loss, filename: best}}\n"
        "    - class_path: EarlyStopping\n"
        "      init_args: {{monitor: val_loss, patience: 1, min_delta: 0.05}}\n"
        "model: {{class_path: LogisticRegression}}\n"
        "optimizer: {{class_path: AdamW, init_args: {{weight_decay: 0.1}}}}\n"
        "lr_scheduler: {{class_path: ExponentialLR, init_args: {{gamma: 0.8}}}}\n"
        "data: {{class_path: IrisDataModule, init_args: {{batch_size: 16, val_split: 0.3}}}}\n",
        (folder_ / name).string());
    files::write_atomically(folder_ / "base.yaml", text);
    std::vector<Override> overrides;
    for (const auto& setting : settings) {
      const size_t at = setting.find('=');
      overrides.push_back({setting.substr(0, at), parse_argument(setting.substr(at + 1)), false});
    }
    return read_job(registry_, read_configuration({(folder_ / "base.yaml").string()}, overrides));
  }

  std::vector<Job> jobs(const std::string& name) const {
    std::vector<Job> all;
    for (const char* rate : {"0.1", "0.001", "0.03"}) {
      all.push_back(job(fmt::format("{}_{}", name, all.size()),
                        {fmt::format("optimizer.init_args.learning_rate={}", rate),
                         fmt::format("optimizer.init_args.weight_decay=0.0{}", all.size())}));
    }
    return all;
  }

  std::filesystem::path run_folder(const std::string& name) const {
    return folder_ / name / "levin_logs" / "version_0";
  }

  test::TemporaryFolder folder_;
  Registry registry_ = shipped_classes();
};

using Rows = std::vector<std::vector<std::string>>;

Rows csv_of(const std::filesystem::path& path) {
  Rows rows;
  std::vector<std::string> row;
  std::string cell;
  for (const char letter : files::read_text(path)) {
    if (letter == ',' || letter == '\n') {
      row.push_back(std::exchange(cell, {}));
      if (letter == '\n') rows.push_back(std::exchange(row, {}));
    } else {
      cell += letter;
    }
  }
  return rows;
}

void expect_same_rows(const Rows& a, const Rows& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].size(), b[i].size());
    for (size_t j = 0; j < a[i].size(); ++j) {
      if (a[i][j] == b[i][j]) continue;
      const double expected = std::stod(b[i][j]);
      EXPECT_NEAR(std::stod(a[i][j]), expected, 1e-5 * std::abs(expected)) << i << ", " << j;
    }
  }
}

// row 54
TEST_F(BatchedSessionTest, each_job_ends_with_the_metrics_and_files_that_it_has_alone) {
  BatchedSession batch(jobs("batch"), registry_);
  batch.fit();
  const auto alone = jobs("alone");
  std::vector<int64_t> epochs;
  for (size_t k = 0; k < alone.size(); ++k) {
    SCOPED_TRACE(k);
    Session session(alone[k], registry_);
    session.record_config(registry_);
    session.fit();
    auto& run = session.trainer().run();
    EXPECT_EQ(batch.run(k).epoch(), run.epoch());
    EXPECT_EQ(batch.run(k).history().stop_reason.empty(),
              run.history().stop_reason == "max_epochs");
    epochs.push_back(run.epoch());
    ASSERT_EQ(batch.run(k).metrics().size(), run.metrics().size());
    for (const auto& [name, value] : run.metrics()) {
      EXPECT_NEAR(batch.run(k).metrics().at(name), value, 1e-5 * std::abs(value)) << name;
    }
    const auto own = run_folder(fmt::format("batch_{}", k));
    const auto other = run_folder(fmt::format("alone_{}", k));
    expect_same_rows(csv_of(own / "metrics.csv"), csv_of(other / "metrics.csv"));
    EXPECT_TRUE(files::exists(own / "config.yaml"));
    const auto model = load_module(registry_, own / "checkpoints" / "best.ckpt");
    const auto same = load_module(registry_, other / "checkpoints" / "best.ckpt");
    for (const auto& [name, weight] : same->state_dict().tensors) {
      const double scale = weight.abs().max().item<double>();
      const auto difference = model->state_dict().tensor(name) - weight;
      EXPECT_LE(difference.abs().max().item<double>(), 1e-5 * scale) << name;
    }
    EXPECT_EQ(model->hyper_parameters(), same->hyper_parameters());
    const auto tested = session.trainer().test(*model, session.data());
    const auto expected = session.trainer().test(*same, session.data());
    for (const auto& [name, value] : expected) {
      EXPECT_NEAR(tested.at(name), value, 1e-5 * std::abs(value)) << name;
    }
  }
  // One of them was stopped early, and the others went on.
  EXPECT_LT(*std::min_element(epochs.begin(), epochs.end()),
            *std::max_element(epochs.begin(), epochs.end()));
}

TEST_F(BatchedSessionTest, refuses_jobs_that_differ_otherwise) {
  const auto refusal = [&](const std::string& setting) {
    return test::message_of<ConfigError>([&] {
      BatchedSession({job("a", {}), job("b", {setting})}, registry_);
    });
  };
  EXPECT_TRUE(test::says(refusal("data.init_args.batch_size=8"), {"differ in data.batch_size"}));
  EXPECT_TRUE(test::says(refusal("seed_everything=false"), {"only some have seed_everything"}));
  EXPECT_TRUE(test::says(refusal("optimizer.init_args.eps=0.1"), {"differ in optimizer.eps"}));
  EXPECT_TRUE(test::says(refusal("trainer.max_epochs=5"), {"differ in trainer.max_epochs"}));
  EXPECT_TRUE(test::says(refusal("lr_scheduler.init_args.gamma=0.5"), {"lr_scheduler.gamma"}));
}

TEST_F(BatchedSessionTest, names_the_settings_in_which_jobs_may_differ) {
  for (const char* name :
       {"model.learning_rate", "model.init_args.l2_strength", "model.C",
        "optimizer.init_args.weight_decay", "optimizer.learning_rate", "seed_everything"}) {
    EXPECT_TRUE(may_jobs_differ_in(name)) << name;
  }
  for (const char* name : {"model", "learning_rate", "model.hidden_sizes", "data.batch_size",
                           "optimizer.init_args.betas", "lr_scheduler.learning_rate",
                           "trainer.max_epochs", "model.other.C"}) {
    EXPECT_FALSE(may_jobs_differ_in(name)) << name;
  }
}

}  // namespace levin::batched_session_test
