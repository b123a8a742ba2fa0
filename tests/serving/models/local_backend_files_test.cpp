#include <levin/serving/models/local_backend.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <levin/framework/core/error.h>
#include <levin/serving/models/served_source.h>

#include "framework/eventually.h"
#include "framework/message_of.h"
#include "framework/without_root.h"
#include "serving/models/local_backend_fixture.h"

// The checkpoints of a LocalBackend: versions, reloads, and files that can't be served.

namespace levin::local_backend_test {

using test::eventually;
using test::message_of;
using test::says;

TEST_F(LocalBackendTest, a_thousand_requests_in_flight_during_ten_reloads) {
  const auto path = folder_ / "live.ckpt";
  save_number(path, 1.0);
  LocalBackend backend(shipped_classes(), {{.name = "m", .path = path}},
                       {.max_batch = 8, .delay_ms = 0.1, .reload = false});
  constexpr int kInFlight = 1000;
  constexpr int kReloads = 10;
  std::vector<std::atomic<int>> answers(static_cast<size_t>(kInFlight) * kReloads);
  std::atomic<int> wrong{0};
  std::atomic<int> answered{0};
  for (int reload = 0; reload < kReloads; ++reload) {
    save_number(path, reload + 2.0);
    std::thread client([&, reload] {
      for (int i = 0; i < kInFlight; ++i) {
        auto& count = answers[static_cast<size_t>(reload * kInFlight + i)];
        backend.infer(ones("m", 1 + i % 3), [&, i](const InferenceOutcome& outcome) {
          ++count;
          ++answered;
          const auto* response = std::get_if<InferenceResponse>(&outcome);
          if (response == nullptr) {
            ++wrong;
            return;
          }
          const auto values = tensor_of(response->outputs.at(0));
          const float expected = 3.0F * std::stof(response->version);
          if (values.numel() != 1 + i % 3 || !values.eq(expected).all().item<bool>()) ++wrong;
        });
      }
    });
    backend.load("m");
    client.join();
    EXPECT_EQ(number_of(backend, "m"), reload + 2.0);
    // The version that was replaced can still be asked by its name.
    EXPECT_EQ(number_of(backend, "m", std::to_string(reload + 1)), reload + 1.0);
  }
  EXPECT_TRUE(eventually([&] { return answered == kInFlight * kReloads; }));
  for (const auto& count : answers) EXPECT_EQ(count, 1);
  EXPECT_EQ(wrong, 0);
  ASSERT_EQ(backend.models().size(), 1U);
  EXPECT_EQ(backend.models()[0].version, "11");
}

TEST_F(LocalBackendTest, a_new_checkpoint_is_found_and_a_broken_one_is_not_served) {
  const auto run = folder_ / "run";
  save_number(run / "checkpoints" / "epoch=0.ckpt", 1.0);
  LocalBackend backend(shipped_classes(), {{.name = "m", .path = run}}, {});
  EXPECT_EQ(number_of(backend, "m"), 1.0);
  testing::internal::CaptureStderr();
  std::ofstream(run / "checkpoints" / "epoch=1.ckpt") << "torn";
  EXPECT_THROW(backend.load("m"), Refusal);
  EXPECT_EQ(number_of(backend, "m"), 1.0);
  EXPECT_TRUE(backend.is_ready());
  save_number(run / "checkpoints" / "epoch=2.ckpt", 2.0);
  EXPECT_TRUE(eventually([&] { return number_of(backend, "m") == 2.0; }));
  EXPECT_EQ(backend.models().at(0).version, "2");
  std::filesystem::remove_all(run);
  EXPECT_THROW(backend.load("m"), Refusal);
  EXPECT_EQ(number_of(backend, "m"), 2.0);
  // An operator learns of it all.
  EXPECT_TRUE(says(testing::internal::GetCapturedStderr(),
                   {"epoch=1.ckpt' isn't a whole checkpoint", "model 'm': version 2 is loaded",
                    "there is no checkpoint at '" + run.string()}));
}

// A chmod changes neither the time of the last write nor the size.
TEST_F(LocalBackendTest, a_checkpoint_that_could_not_be_read_is_tried_again_after_a_chmod) {
  using std::filesystem::perms;
  const auto models = folder_ / "models";
  save_number(models / "first.ckpt", 1.0);
  std::filesystem::permissions(folder_.path(), perms(0755));
  std::filesystem::permissions(models / "first.ckpt", perms(0644));
  const Registry registry = shipped_classes();
  MemoryBudget memory(1'000'000);
  ServedSource source(registry, {.name = "m", .path = models}, {}, at::kCPU, memory);
  save_number(models / "second.part", 2.0);
  std::filesystem::permissions(models / "second.part", perms(0));
  std::filesystem::rename(models / "second.part", models / "second.ckpt");
  const auto is_complete = [&] {
    const test::WithoutRoot without_root;
    return source.refresh();
  };
  EXPECT_FALSE(is_complete());
  EXPECT_FALSE(is_complete());
  EXPECT_TRUE(eventually([&] {  // again and again, if the clock of the file system is coarse
    std::filesystem::permissions(models / "second.ckpt", perms(0644));
    return is_complete();
  }));
  ASSERT_EQ(source.versions().size(), 1U);
  EXPECT_EQ(source.versions()[0]->metadata().version, "2");
}

TEST_F(LocalBackendTest, a_version_that_was_replaced_is_let_go) {
  const auto path = folder_ / "live.ckpt";
  save_number(path, 1.0);
  LocalBackend backend(shipped_classes(), {{.name = "m", .path = path}},
                       {.max_batch = 5, .delay_ms = 0.25, .reload = false, .replaced_for = 0.0});
  EXPECT_EQ(backend.models().at(0).max_batch, 5);
  EXPECT_EQ(backend.models().at(0).delay_us, 250);
  save_number(path, 2.0);
  backend.load("m");
  auto old = ones("m");
  old.version = "1";
  EXPECT_TRUE(eventually([&] { return refusal_of(backend, old).first == 404; }));
  EXPECT_EQ(number_of(backend, "m", "2"), 2.0);
}

TEST_F(LocalBackendTest, versions_of_a_repository_are_served_side_by_side) {
  save_number(folder_ / "repository/2/model.ckpt", 2.0);
  save_number(folder_ / "repository/10/model.ckpt", 10.0);
  save_number(folder_ / "b.ckpt", 7.0);
  LocalBackend backend(
      shipped_classes(),
      {{.name = "m", .path = folder_ / "repository"}, {.name = "b", .path = folder_ / "b.ckpt"}},
      {.reload = false});
  ASSERT_EQ(backend.models().size(), 3U);
  EXPECT_EQ(backend.models()[0].name, "b");
  EXPECT_EQ(backend.models()[1].version, "2");
  EXPECT_EQ(backend.models()[2].version, "10");
  EXPECT_EQ(number_of(backend, "m"), 10.0);
  EXPECT_EQ(number_of(backend, "m", "2"), 2.0);
  EXPECT_EQ(number_of(backend, "b"), 7.0);

  save_number(folder_ / "repository/11/model.ckpt", 11.0);
  std::filesystem::remove_all(folder_ / "repository/2");
  backend.load("m");
  EXPECT_EQ(number_of(backend, "m"), 11.0);
  EXPECT_EQ(number_of(backend, "m", "10"), 10.0);
  auto old = ones("m");
  old.version = "2";
  EXPECT_EQ(refusal_of(backend, old).first, 404);
}

TEST_F(LocalBackendTest, a_model_that_was_unloaded_comes_back) {
  save_number(folder_ / "a.ckpt", 1.0);
  LocalBackend backend(shipped_classes(), {{.name = "m", .path = folder_ / "a.ckpt"}},
                       {.reload = false});
  backend.unload("m");
  EXPECT_TRUE(backend.models().empty());
  EXPECT_EQ(backend.unloaded(), (std::vector<std::string>{"m"}));
  EXPECT_EQ(refusal_of(backend, ones("m")).first, 503);
  backend.load("m");
  EXPECT_EQ(number_of(backend, "m", "1"), 1.0) << "the same file is the same version";
  EXPECT_THROW(backend.load("other"), Refusal);
  save_number(folder_ / "a.ckpt", 2.0);
  backend.load("m");
  EXPECT_EQ(number_of(backend, "m", "2"), 2.0);
  backend.drain();
  EXPECT_EQ(refusal_of(backend, ones("m")).first, 503);
  EXPECT_FALSE(backend.is_ready());
}

TEST_F(LocalBackendTest, what_can_not_be_served_is_refused_at_the_start) {
  save_number(folder_ / "a.ckpt", 1.0);
  std::ofstream(folder_ / "torn.ckpt") << "torn";
  std::filesystem::create_directory(folder_ / "empty");
  const auto message = [&](std::vector<ModelSource> sources, LocalBackendOptions options = {}) {
    return message_of<Error>(
        [&] { LocalBackend(shipped_classes(), std::move(sources), std::move(options)); });
  };
  const auto path_of = [&](const char* name) {
    return std::vector<ModelSource>{{.path = folder_ / name}};
  };
  EXPECT_TRUE(says(message(path_of("torn.ckpt")), {"torn.ckpt"}));
  StateDict weights;  // as a state dict of PyTorch has them
  weights.tensors = number_.tensors;
  save_checkpoint(folder_ / "weights.ckpt", weights);
  EXPECT_TRUE(says(message(path_of("weights.ckpt")),
                   {"weights.ckpt", "which class", "serve a checkpoint that `levin fit`"}));
  EXPECT_TRUE(says(message(path_of("missing.ckpt")), {"missing.ckpt", "there is no checkpoint"}));
  EXPECT_TRUE(says(message(path_of("empty")), {"empty", "there is no checkpoint"}));
  EXPECT_TRUE(says(message({{.path = folder_ / "a.ckpt"}, {.path = folder_ / "a.ckpt"}}),
                   {"two models", "LinearRegression"}));
  EXPECT_TRUE(says(message({{.name = "a/b", .path = folder_ / "a.ckpt"}}), {"a/b"}));
  EXPECT_TRUE(says(message(path_of("a.ckpt"), {.max_batch = 0}), {"batch", "at least 1"}));
  EXPECT_TRUE(says(message(path_of("a.ckpt"), {.device = "tpu"}), {"tpu", "cpu"}));
  EXPECT_TRUE(says(message({}), {"no model"}));
}

TEST_F(LocalBackendTest, what_may_not_be_read_is_refused_with_the_cause) {
  save_number(folder_ / "models/a.ckpt", 1.0);
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
  const auto refused = [&](const std::string& path) {
    const test::WithoutRoot without_root;
    return message_of<Error>([&] { LocalBackend(shipped_classes(), {{.path = path}}, {}); });
  };
  std::filesystem::permissions(folder_ / "models/a.ckpt", std::filesystem::perms(0));
  EXPECT_TRUE(says(refused(folder_ / "models"), {"a.ckpt", "Permission denied"}));
  std::filesystem::permissions(folder_ / "models", std::filesystem::perms(0));
  EXPECT_TRUE(says(refused(folder_ / "models"), {"models", "Permission denied"}));
  std::filesystem::permissions(folder_ / "models", std::filesystem::perms(0755));
}

}  // namespace levin::local_backend_test
