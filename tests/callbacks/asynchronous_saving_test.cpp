#include <levin/callbacks/model_checkpoint.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/tensor/random.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <map>

#include "callbacks/fixture.h"
#include "framework/eventually.h"
#include "framework/message_of.h"

namespace levin::test::asynchronous_saving_test {

/// Tells other threads how far training is.
class Watch : public Callback {
 public:
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    steps = step.global_step();
    if (then) then(step);
  }
  void on_train_end(Run&) override { has_ended = true; }
  void on_exception(const std::exception&, Run&) override { has_failed = true; }
  std::atomic<int64_t> steps = 0;
  std::atomic<bool> has_ended = false;
  std::atomic<bool> has_failed = false;
  std::function<void(Step&)> then;
};

bool is_checkpoint(const files::Operation& operation, std::string_view name) {
  return operation.name == name && operation.path.string().find(".ckpt") != std::string::npos;
}

class AsynchronousSaving : public ::testing::Test {
 protected:
  ~AsynchronousSaving() override {
    files::inject_faults({});
    files::inject_clock({});
  }

  /// Ten steps an epoch.
  Trainer trainer(ModelCheckpointOptions options, int64_t epochs = 1) {
    files::inject_clock([] { return 100.0; });  // checkpoints have the time that was trained
    seed_everything(5);
    model = std::make_unique<Classifier>();
    Trainer result({.accelerator = "cpu",
                    .max_epochs = epochs,
                    .threads = 1,
                    .default_root_dir = folder.string()});
    watch = &result.add<Watch>();
    if (!options.dirpath.empty()) result.add<ModelCheckpoint>(std::move(options));
    return result;
  }
  History fit(Trainer& trainer, const std::string& checkpoint = {}) {
    PointsModule data(40, {.batch_size = 4, .shuffle = true});
    return trainer.fit(*model, data, checkpoint);
  }
  std::string saves_to() const { return (folder / "saves").string(); }
  std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> found;
    for (const auto& name : files_in(folder / "saves")) {
      found[name] = read_file(folder / "saves" / name);
    }
    return found;
  }

  TemporaryFolder folder;
  std::unique_ptr<Classifier> model;
  Watch* watch = nullptr;
};

TEST_F(AsynchronousSaving, trains_on_while_a_file_is_written_that_has_the_bytes_of_its_step) {
  ModelCheckpointOptions options{
      .dirpath = saves_to(), .save_last = true, .save_top_k = -1, .every_n_train_steps = 4};
  auto plain = trainer(options);
  fit(plain);
  const auto expected = files();
  ASSERT_EQ(expected.size(), 3u);  // steps 4 and 8, and last.ckpt
  fs::remove_all(folder / "saves");

  options.asynchronous = true;
  auto other = trainer(options);
  int64_t opened = 0;
  std::vector<bool> went_on;
  files::inject_faults([&](const files::Operation& operation) {
    if (!is_checkpoint(operation, "open")) return 0;
    const int64_t due = ++opened <= 2 ? 4 : 8;  // two files each time
    went_on.push_back(
        eventually([&] { return due == 4 ? watch->steps >= 6 : watch->has_ended.load(); }));
    return 0;
  });
  fit(other);
  EXPECT_EQ(went_on, std::vector<bool>(4, true));
  const auto written = files();
  ASSERT_EQ(written.size(), 3u);
  for (const auto& [name, bytes] : expected) EXPECT_TRUE(written.at(name) == bytes) << name;
}

TEST_F(AsynchronousSaving, names_and_replaced_files_do_not_depend_on_how_long_writing_takes) {
  for (const int64_t keep : {-1, 2}) {
    std::vector<std::map<std::string, std::string>> found;
    for (const bool asynchronous : {false, true}) {
      auto one = trainer({.dirpath = saves_to(),
                          .filename = "same",
                          .monitor = keep > 0 ? "train_loss_step" : "",
                          .save_top_k = keep,
                          .every_n_train_steps = 1,
                          .asynchronous = asynchronous});
      fit(one);
      found.push_back(files());
      fs::remove_all(folder / "saves");
    }
    EXPECT_EQ(found[0].size(), keep > 0 ? 2u : 10u);
    EXPECT_TRUE(found[0] == found[1]) << keep;
  }
}

TEST_F(AsynchronousSaving, a_file_that_cannot_be_written_ends_training_at_a_later_step) {
  constexpr int64_t kEpochs = 20000;
  auto one = trainer({}, kEpochs);
  watch->then = [&](Step& step) {
    if (step.global_step() == 3) step.run().save("first.ckpt", {.asynchronous = true});
  };
  files::inject_faults([](const files::Operation& operation) {
    return is_checkpoint(operation, "write") ? ENOSPC : 0;
  });
  const auto message = message_of<CheckpointError>([&] { fit(one); });
  EXPECT_TRUE(says(message, {"first.ckpt", "No space left"}));
  EXPECT_LT(watch->steps, 10 * kEpochs);
  EXPECT_FALSE(fs::exists(one.run().log_dir() / "first.ckpt"));
}

TEST_F(AsynchronousSaving, a_fit_that_fails_waits_for_the_files_that_it_began) {
  auto one = trainer(
      {.dirpath = saves_to(), .save_top_k = -1, .every_n_train_steps = 4, .asynchronous = true});
  watch->then = [](Step& step) {
    if (step.global_step() == 6) throw std::runtime_error("as planned");
  };
  files::inject_faults([&](const files::Operation& operation) {
    if (is_checkpoint(operation, "open")) eventually([&] { return watch->has_failed.load(); });
    return 0;
  });
  EXPECT_THROW(fit(one), std::runtime_error);
  EXPECT_EQ(load_checkpoint(folder / "saves/epoch=0-step=4.ckpt").values.at("global_step").as_int(),
            4);
}

TEST_F(AsynchronousSaving, killed_while_writing_it_leaves_the_older_file_from_which_fits_go_on) {
  const ModelCheckpointOptions options{
      .dirpath = saves_to(), .every_n_train_steps = 4, .asynchronous = true};
  auto whole = trainer(options);
  fit(whole);
  const auto expected = model->state_dict().clone();
  fs::remove_all(folder / "saves");

  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto killed = trainer(options);
    int64_t renamed = 0;
    files::inject_faults([&](const files::Operation& operation) {
      if (!is_checkpoint(operation, "rename") || ++renamed < 2) return 0;
      eventually([&] { return watch->has_ended.load(); });
      if (::write(pipe[1], "x", 1) == 1) ::sleep(3600);
      return 0;
    });
    fit(killed);
    ::_exit(1);
  }
  ::close(pipe[1]);
  char ready = 0;
  EXPECT_EQ(::read(pipe[0], &ready, 1), 1);
  ::close(pipe[0]);
  ::kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));

  EXPECT_FALSE(fs::exists(folder / "saves/epoch=0-step=8.ckpt"));
  const auto older = folder / "saves/epoch=0-step=4.ckpt";
  ASSERT_EQ(load_checkpoint(older).values.at("global_step").as_int(), 4);
  auto resumed = trainer(options);
  fit(resumed, older.string());
  for (const auto& [name, tensor] : expected.tensors) {
    EXPECT_TRUE(same_bits(tensor, model->state_dict().tensor(name))) << name;
  }
}

}  // namespace levin::test::asynchronous_saving_test
