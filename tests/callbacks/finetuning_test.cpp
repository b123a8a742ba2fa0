#include <levin/callbacks/backbone_finetuning.h>
#include <levin/framework/core/error.h>

#include "callbacks/counter.h"

namespace levin::test::finetuning_test {

/// A backbone with a batch norm, and a head.
class Net : public Module {
 public:
  explicit Net(bool groups = true)
      : backbone(register_module(
            "backbone", torch::nn::Sequential(torch::nn::Linear(1, 2), torch::nn::BatchNorm1d(2)))),
        head(register_module("head", torch::nn::Linear(2, 1))),
        groups_(groups) {}
  torch::Tensor training_step(const Batch& batch, Step&) override {
    return torch::mse_loss(head(backbone->forward(batch.input())), batch.target());
  }
  Optimizers configure_optimizers() override {
    if (!groups_) return SGD(parameters(), {.learning_rate = 0.1});
    return SGD({{.parameters = backbone->parameters()}, {.parameters = head->parameters()}},
               {.learning_rate = 0.1});
  }
  torch::Tensor weight() { return backbone[0]->as<torch::nn::Linear>()->weight; }
  torch::nn::Sequential backbone;
  torch::nn::Linear head;

 private:
  bool groups_;
};

/// The state of the net at the end of each epoch.
struct Epoch {
  torch::Tensor weight, norm_weight, running_mean;
  double rate = 0.0;
};

std::vector<Epoch> fit(BackboneFinetuningOptions options, int64_t epochs, bool groups = true) {
  TemporaryFolder folder;
  seed_everything(1);
  Net net(groups);
  SmallData data;
  Trainer trainer(short_fit(folder, epochs));
  trainer.add<BackboneFinetuning>(std::move(options));
  std::vector<Epoch> result;
  const auto keep = [&](Run& run) {
    const auto* norm = net.backbone[1]->as<torch::nn::BatchNorm1d>();
    result.push_back(
        {net.weight().detach().clone(), norm->weight.detach().clone(), norm->running_mean.clone(),
         run.optimizers().entries().front().optimizer->groups().front().learning_rate});
  };
  trainer.add<LambdaCallback>({.on_train_start = keep, .on_train_epoch_end = keep});
  trainer.fit(net, data);
  return result;
}

/// Trains the head alone in the first two epochs, as one's own callback would.
class HeadFirst : public BaseFinetuning {
 public:
  std::vector<std::string> calls;

 protected:
  void freeze_before_training(Module& module) override {
    calls.emplace_back("freeze");
    freeze(*static_cast<Net&>(module).backbone, /*train_bn=*/false);
  }
  void finetune(Module& module, int64_t epoch, levin::Run&) override {
    calls.push_back(std::to_string(epoch));
    if (epoch == 2) unfreeze(*static_cast<Net&>(module).backbone);
  }
};

/// Its optimizer would move weights that have no gradients, too.
class Decaying : public Net {
 public:
  Optimizers configure_optimizers() override {
    return SGD(parameters(), {.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.1});
  }
};

TEST(BaseFinetuning, FreezesAndUnfreezesPartsOfAModuleAndGoesOnAfterAResume) {
  using Flags = std::vector<bool>;
  struct Outcome {
    std::vector<StateDict> weights;  // at the beginning and at the end of each epoch
    Flags trained;                   // whether the backbone needs gradients
    std::vector<std::string> calls;
  };
  TemporaryFolder folder;
  const auto fit = [&](int64_t epochs, const std::string& checkpoint) {
    seed_everything(1);
    Decaying net;
    SmallData data;
    Trainer trainer(short_fit(folder, epochs));
    const auto& callback = trainer.add<HeadFirst>();
    Outcome outcome;
    trainer.add<LambdaCallback>(
        {.on_train_start =
             [&](levin::Run&) { outcome.weights.push_back(net.state_dict().clone()); },
         .on_train_epoch_end =
             [&](levin::Run&) {
               outcome.weights.push_back(net.state_dict().clone());
               outcome.trained.push_back(net.weight().requires_grad());
             }});
    trainer.fit(net, data, checkpoint);
    trainer.save_checkpoint(folder.path() / "end.ckpt");
    outcome.calls = callback.calls;
    return outcome;
  };
  const auto whole = fit(4, "");
  EXPECT_EQ(whole.calls, (std::vector<std::string>{"freeze", "0", "1", "2", "3"}));
  EXPECT_EQ(whole.trained, (Flags{false, false, true, true}));
  for (const auto& [name, first] : whole.weights[0].tensors) {
    const bool is_frozen = name.starts_with("backbone");
    EXPECT_EQ(same_bits(whole.weights[2].tensor(name), first), is_frozen) << name;
    EXPECT_FALSE(same_bits(whole.weights[4].tensor(name), first)) << name;
  }
  fit(1, "");
  const auto resumed = fit(4, (folder.path() / "end.ckpt").string());
  EXPECT_EQ(resumed.calls, (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_EQ(resumed.trained, (Flags{false, true, true}));
  for (const auto& [name, tensor] : whole.weights[4].tensors) {
    EXPECT_TRUE(same_bits(tensor, resumed.weights[3].tensor(name))) << name;
  }
}

TEST(BackboneFinetuning, TrainsTheBackboneFromItsEpochOn) {
  const auto epochs = fit({.unfreeze_backbone_at_epoch = 2}, 3);
  EXPECT_TRUE(same_bits(epochs[0].weight, epochs[2].weight));
  EXPECT_FALSE(same_bits(epochs[2].weight, epochs[3].weight));
}

TEST(BackboneFinetuning, ItsRateGrowsToThatOfTheRest) {
  const auto epochs = fit({.unfreeze_backbone_at_epoch = 1, .backbone_initial_ratio_lr = 0.3}, 5);
  EXPECT_DOUBLE_EQ(epochs[2].rate, 0.03);
  EXPECT_DOUBLE_EQ(epochs[3].rate, 0.06);
  EXPECT_DOUBLE_EQ(epochs[4].rate, 0.1);
  EXPECT_DOUBLE_EQ(epochs[5].rate, 0.1);
  const auto free =
      fit({.unfreeze_backbone_at_epoch = 0, .backbone_initial_lr = 0.08, .should_align = false}, 2);
  EXPECT_DOUBLE_EQ(free[2].rate, 0.16);
}

TEST(BackboneFinetuning, WithoutAGroupOfItsOwnItTakesTheRateOfItsGroup) {
  const auto epochs = fit({.unfreeze_backbone_at_epoch = 1}, 2, /*groups=*/false);
  EXPECT_DOUBLE_EQ(epochs[2].rate, 0.1);
  EXPECT_FALSE(same_bits(epochs[1].weight, epochs[2].weight));
}

TEST(BackboneFinetuning, BatchNormsAreTrainedUnlessToldNotTo) {
  const auto trained = fit({.unfreeze_backbone_at_epoch = 5}, 1);
  EXPECT_FALSE(same_bits(trained[0].norm_weight, trained[1].norm_weight));
  EXPECT_FALSE(same_bits(trained[0].running_mean, trained[1].running_mean));
  const auto frozen = fit({.unfreeze_backbone_at_epoch = 5, .train_bn = false}, 1);
  EXPECT_TRUE(same_bits(frozen[0].norm_weight, frozen[1].norm_weight));
  EXPECT_TRUE(same_bits(frozen[0].running_mean, frozen[1].running_mean));
}

TEST(BackboneFinetuning, NamesTheSubmodulesIfThereIsNoBackbone) {
  try {
    fit({.backbone = "bakcbone"}, 1);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'backbone'"), std::string::npos)
        << error.what();
  }
  EXPECT_THROW(BackboneFinetuning({.backbone = ""}), ConfigError);
  EXPECT_THROW(BackboneFinetuning({.unfreeze_backbone_at_epoch = -1}), ConfigError);
  EXPECT_THROW(BackboneFinetuning({.multiplier = 0.0}), ConfigError);
  EXPECT_THROW(BackboneFinetuning({.backbone_initial_lr = -1.0}), ConfigError);
}

TEST(BackboneFinetuning, GoesOnWithTheSameBitsAfterAResume) {
  for (const int64_t step : {6, 10}) {  // before the backbone is trained, and after
    TemporaryFolder folder;
    SmallData data;
    const auto run = [&](int64_t max_steps, const std::string& from, const fs::path& to) {
      seed_everything(1);
      Net net;
      TrainerOptions options = short_fit(folder, 4);
      options.max_steps = max_steps;
      Trainer trainer(options);
      trainer.add<BackboneFinetuning>(
          {.unfreeze_backbone_at_epoch = 2, .backbone_initial_ratio_lr = 0.3, .train_bn = false});
      trainer.fit(net, data, from);
      if (!to.empty()) trainer.save_checkpoint(to);
      return net.state_dict().clone();
    };
    const auto whole = run(-1, "", {});
    run(step, "", folder.path() / "a.ckpt");
    const auto resumed = run(-1, (folder.path() / "a.ckpt").string(), {});
    for (const auto& [name, tensor] : whole.tensors) {
      EXPECT_TRUE(same_bits(tensor, resumed.tensor(name))) << name << " from step " << step;
    }
  }
}

}  // namespace levin::test::finetuning_test
