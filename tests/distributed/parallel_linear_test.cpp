#include <levin/framework/nn/parallel_linear.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>
#include <levin/framework/launch/device_mesh.h>
#include <levin/framework/nn/tensor_shards.h>
#include <levin/framework/optimizers/adam.h>
#include <levin/framework/optimizers/sgd.h>

#include "distributed/joined_ranks.h"
#include "framework/message_of.h"

// Layers whose weights are divided among ranks, each a thread of this process, against torch's own
// layers on the whole batch.

namespace levin::parallel_linear_test {

using test::on_ranks;

constexpr int64_t kRows = 11;
constexpr int64_t kFeatures = 6;
constexpr int64_t kHidden = 7;  // which 2 and 4 ranks divide unevenly
constexpr int64_t kClasses = 5;
constexpr double kTolerance = 1e-12;

struct Rows {
  torch::Tensor x;
  torch::Tensor classes;
  torch::Tensor weights;
};

Rows all_rows() {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
  return {torch::randn({kRows, kFeatures}, generator, torch::kDouble),
          torch::randint(kClasses, {kRows}, generator, torch::kLong),
          torch::rand({kRows}, generator, torch::kDouble) + 0.5};
}

/// What is divided: the hidden features of a perceptron, or the classes or the features of a
/// softmax regression.
enum class Kind { perceptron, classes, features };

/// A model, in one process if there is no group. Its weights are set by `take`.
class Net : public torch::nn::Module {
 public:
  Net(Kind kind, std::shared_ptr<ProcessGroup> group) : kind_(kind), group_(std::move(group)) {
    const int64_t outputs = kind_ == Kind::perceptron ? kHidden : kClasses;
    if (group_ == nullptr) {
      first_ = register_module("first", torch::nn::Linear(kFeatures, outputs));
      if (kind_ == Kind::perceptron) {
        second_ = register_module("second", torch::nn::Linear(kHidden, kClasses));
      }
    } else if (kind_ == Kind::features) {
      rows_ = register_module("first", RowLinear(RowLinearOptions{.in_features = kFeatures,
                                                                  .out_features = outputs,
                                                                  .input_is_parallel = false},
                                                 group_));
    } else {
      columns_ = register_module("first", ColumnLinear(ColumnLinearOptions{.in_features = kFeatures,
                                                                           .out_features = outputs},
                                                       group_));
      if (kind_ == Kind::perceptron) {
        rows_ = register_module(
            "second",
            RowLinear(RowLinearOptions{.in_features = kHidden, .out_features = kClasses}, group_));
      }
    }
    to(torch::kDouble);
  }

  torch::Tensor row_losses(const torch::Tensor& x, const torch::Tensor& classes) {
    torch::Tensor logits;
    if (group_ == nullptr) {
      logits = first_(x);
      if (second_) logits = second_(torch::relu(logits));
    } else if (kind_ == Kind::classes) {
      return class_parallel_cross_entropy(columns_(x), classes, columns_->shard, group_);
    } else {
      logits = columns_ ? rows_(torch::relu(columns_(x))) : rows_(x);
    }
    return at::cross_entropy_loss(logits, classes, {}, at::Reduction::None);
  }

  StateDict state() const {
    StateDict state;
    for (const auto& item : named_parameters()) state.tensors[item.key()] = item.value().detach();
    return state;
  }
  void take(const StateDict& state) {
    const torch::NoGradGuard no_grad;
    for (auto& item : named_parameters()) item.value().copy_(state.tensor(item.key()));
  }

 private:
  Kind kind_;
  std::shared_ptr<ProcessGroup> group_;
  torch::nn::Linear first_{nullptr};
  torch::nn::Linear second_{nullptr};
  ColumnLinear columns_{nullptr};
  RowLinear rows_{nullptr};
};

StateDict first_state(Kind kind) {
  torch::manual_seed(5);
  return Net(kind, nullptr).state().clone();
}

std::unique_ptr<Optimizer> make_optimizer(bool adam, const Net& net) {
  std::unique_ptr<Optimizer> optimizer;
  if (adam) {
    optimizer = std::make_unique<Adam>(net.parameters(), AdamOptions{.learning_rate = 0.05});
  } else {
    optimizer =
        std::make_unique<SGD>(net.parameters(), SGDOptions{.learning_rate = 0.3, .momentum = 0.9});
  }
  NamedTensors named;
  for (const auto& item : net.named_parameters()) named.emplace_back(item.key(), item.value());
  optimizer->set_names(named);
  return optimizer;
}

/// What a checkpoint of a model and its optimizer has, whole.
struct Saved {
  StateDict model;
  StateDict optimizer;
};

/// Some steps from a state on, with this rank's rows of each batch; the whole state after them.
/// Without a mesh, in one process.
Saved train(Kind kind, bool adam, int steps, const Saved& from, const DeviceMesh& mesh = {},
            ProcessGroup* ranks = nullptr) {
  std::shared_ptr<ProcessGroup> tensor;
  std::unique_ptr<ProcessGroup> data;
  int64_t begin = 0;
  int64_t end = kRows;
  if (ranks != nullptr) {
    tensor = std::make_shared<ProcessGroup>(*ranks, mesh.group_of(MeshAxis::tensor, ranks->rank()),
                                            "tensor");
    data = std::make_unique<ProcessGroup>(*ranks, mesh.group_of(MeshAxis::data, ranks->rank()),
                                          "data");
    if (data->world_size() == 2) (data->rank() == 0 ? end : begin) = 8;  // 8 rows and 3
  }
  Net net(kind, tensor);
  const auto shards = find_shards(net);
  EXPECT_EQ(shards.empty(), tensor == nullptr);
  net.take(take_shards(from.model, shards));
  auto optimizer = make_optimizer(adam, net);
  if (!from.optimizer.empty()) optimizer->load_state_dict(take_shards(from.optimizer, shards));
  const auto rows = all_rows();
  const auto own = [&](const torch::Tensor& all) { return all.slice(0, begin, end); };
  for (int i = 0; i < steps; ++i) {
    optimizer->zero_grad();
    const auto losses = net.row_losses(own(rows.x), own(rows.classes)) * own(rows.weights);
    (losses.sum() / rows.weights.sum()).backward();
    if (data != nullptr) {
      for (auto& parameter : net.parameters()) data->all_reduce(parameter.mutable_grad());
    }
    optimizer->step();
  }
  Saved saved{net.state(), optimizer->state_dict()};
  if (tensor == nullptr) return {saved.model.clone(), saved.optimizer.clone()};
  const Saved whole{gather_shards(saved.model, shards, *tensor),
                    gather_shards(saved.optimizer, shards, *tensor)};
  for (const auto& [name, value] : take_shards(whole.optimizer, shards).tensors) {
    EXPECT_TRUE(torch::equal(value, saved.optimizer.tensor(name))) << name;
  }
  return {whole.model.clone(), whole.optimizer.clone()};
}

/// The same on the ranks of a mesh; what rank 0 has, after a check that all have the same.
Saved train_on(const DeviceMesh& mesh, Kind kind, bool adam, int steps, const Saved& from) {
  std::vector<Saved> all(static_cast<size_t>(mesh.world_size()));
  on_ranks(mesh.world_size(), [&](ProcessGroup& ranks) {
    all[static_cast<size_t>(ranks.rank())] = train(kind, adam, steps, from, mesh, &ranks);
  });
  for (const auto& saved : all) {
    EXPECT_EQ(saved.model.tensors.size(), all[0].model.tensors.size());
    for (const auto& [name, value] : saved.model.tensors) {
      EXPECT_TRUE(torch::equal(value, all[0].model.tensor(name))) << name;
    }
  }
  return all[0];
}

void expect_near(const StateDict& expected, const StateDict& found, const std::string& where) {
  ASSERT_EQ(expected.tensors.size(), found.tensors.size()) << where;
  for (const auto& [name, value] : expected.tensors) {
    const auto& other = found.tensor(name);
    ASSERT_EQ(other.sizes(), value.sizes()) << where << " " << name;
    const double difference = (other - value).abs().max().item<double>();
    EXPECT_LT(difference, kTolerance) << where << " " << name;
  }
}

constexpr Kind kKinds[] = {Kind::perceptron, Kind::classes, Kind::features};

// Row 45: data and tensor parallelism, weighted rows, and uneven numbers of rows and features.
TEST(ParallelLinear, two_four_and_two_times_two_ranks_take_the_steps_of_one_process) {
  for (const Kind kind : kKinds) {
    const Saved start{first_state(kind), {}};
    for (const bool adam : {false, true}) {
      const auto expected = train(kind, adam, 4, start);
      for (const MeshSizes sizes :
           {MeshSizes{.tensor = 2}, MeshSizes{.tensor = 4}, MeshSizes{.data = 2, .tensor = 2}}) {
        const auto where = "kind " + std::to_string(static_cast<int>(kind)) +
                           (adam ? ", Adam, data " : ", SGD, data ") + std::to_string(sizes.data) +
                           " x tensor " + std::to_string(sizes.tensor);
        const auto found = train_on(DeviceMesh(sizes), kind, adam, 4, start);
        expect_near(expected.model, found.model, where);
        expect_near(expected.optimizer, found.optimizer, where);
      }
    }
  }
}

/// The product of the Hessian of the mean loss with the parameters themselves.
StateDict curvature_along_parameters(Net& net, ProcessGroup* group) {
  const auto rows = all_rows();
  const auto shards = find_shards(net);
  const auto loss = net.row_losses(rows.x, rows.classes).mean();
  const auto parameters = net.named_parameters();
  const auto gradients = torch::autograd::grad({loss}, net.parameters(), {}, true, true);
  auto own = torch::zeros({}, torch::kDouble);
  auto same = torch::zeros({}, torch::kDouble);
  for (size_t i = 0; i < gradients.size(); ++i) {
    auto& sum = shards.contains(parameters[i].key()) ? own : same;
    sum = sum + (gradients[i] * parameters[i].value().detach()).sum();
  }
  if (group != nullptr) {
    own = sum_of_shards(own, std::shared_ptr<ProcessGroup>(group, [](ProcessGroup*) {}));
  }
  const auto products = torch::autograd::grad({own + same}, net.parameters());
  StateDict state;
  for (size_t i = 0; i < products.size(); ++i) state.tensors[parameters[i].key()] = products[i];
  return group == nullptr ? state : gather_shards(state, shards, *group);
}

TEST(ParallelLinear, second_derivatives_are_those_of_one_process) {
  for (const Kind kind : kKinds) {
    const auto start = first_state(kind);
    Net whole(kind, nullptr);
    whole.take(start);
    const auto expected = curvature_along_parameters(whole, nullptr);
    on_ranks(2, [&](ProcessGroup& ranks) {
      const auto group = std::make_shared<ProcessGroup>(ranks, "tensor");
      Net net(kind, group);
      net.take(take_shards(start, find_shards(net)));
      expect_near(expected, curvature_along_parameters(net, group.get()), "curvature");
    });
  }
}

TEST(ParallelLinear, whole_states_load_at_any_number_of_ranks_and_resume_bit_exact_at_the_same) {
  const DeviceMesh two({.tensor = 2});
  const DeviceMesh four({.tensor = 4});
  const Kind kind = Kind::perceptron;
  const Saved start{first_state(kind), {}};
  const auto one = train(kind, true, 2, start);
  const auto all = train(kind, true, 4, start);
  const auto at_four = train_on(four, kind, true, 2, start);
  expect_near(all.model, train(kind, true, 2, at_four).model, "4 ranks, then 1");
  expect_near(all.model, train_on(two, kind, true, 2, at_four).model, "4 ranks, then 2");
  expect_near(all.model, train_on(four, kind, true, 2, one).model, "1 rank, then 4");
  const auto uninterrupted = train_on(four, kind, true, 4, start);
  for (const auto& [name, value] : train_on(four, kind, true, 2, at_four).model.tensors) {
    EXPECT_TRUE(torch::equal(value, uninterrupted.model.tensor(name))) << name;
  }
}

torch::Tensor own_part(const torch::Tensor& whole, int64_t dimension, const ShardRange& shard) {
  return whole.narrow(dimension, shard.begin, shard.size());
}

TEST(ParallelLinear, gathered_outputs_and_split_inputs_have_the_gradients_of_one_process) {
  const auto rows = all_rows();
  torch::manual_seed(6);
  const torch::nn::Linear up(kFeatures, kHidden);
  const torch::nn::Linear down(kHidden, kClasses);
  const auto gradients_of = [&](auto& first, auto& second) {
    first->to(torch::kDouble);
    second->to(torch::kDouble);
    auto x = rows.x.clone().requires_grad_();
    second(first(x).sin()).pow(2).sum().backward();
    return std::vector<torch::Tensor>{x.grad(), first->weight.grad(), first->bias.grad(),
                                      second->weight.grad(), second->bias.grad()};
  };
  torch::nn::Linear whole_up = up;
  torch::nn::Linear whole_down = down;
  const auto expected = gradients_of(whole_up, whole_down);
  on_ranks(3, [&](ProcessGroup& ranks) {
    const auto group = std::make_shared<ProcessGroup>(ranks, "tensor");
    ColumnLinear first(
        ColumnLinearOptions{
            .in_features = kFeatures, .out_features = kHidden, .gather_output = true},
        group);
    RowLinear second(
        RowLinearOptions{
            .in_features = kHidden, .out_features = kClasses, .input_is_parallel = false},
        group);
    {
      const torch::NoGradGuard no_grad;
      first->to(torch::kDouble);
      second->to(torch::kDouble);
      first->weight.copy_(own_part(up->weight, 0, first->shard));
      first->bias.copy_(own_part(up->bias, 0, first->shard));
      second->weight.copy_(own_part(down->weight, 1, second->shard));
      second->bias.copy_(down->bias);
    }
    const auto found = gradients_of(first, second);
    StateDict parts;
    parts.tensors = {
        {"first.weight", found[1]}, {"first.bias", found[2]}, {"second.weight", found[3]}};
    TensorShards shards;
    for (const auto& [name, shard] : first->shards()) shards["first." + name] = shard;
    for (const auto& [name, shard] : second->shards()) shards["second." + name] = shard;
    const auto joined = gather_shards(parts, shards, *group);
    EXPECT_TRUE(torch::allclose(found[0], expected[0], 0.0, kTolerance));
    EXPECT_TRUE(torch::allclose(joined.tensor("first.weight"), expected[1], 0.0, kTolerance));
    EXPECT_TRUE(torch::allclose(joined.tensor("first.bias"), expected[2], 0.0, kTolerance));
    EXPECT_TRUE(torch::allclose(joined.tensor("second.weight"), expected[3], 0.0, kTolerance));
    EXPECT_TRUE(torch::allclose(found[4], expected[4], 0.0, kTolerance));
  });
}

TEST(ParallelLinear, the_weights_of_a_seed_are_those_of_one_process) {
  torch::manual_seed(8);
  const torch::nn::Linear up(kFeatures, kHidden);
  const torch::nn::Linear down(kHidden, kClasses);
  std::mutex generator;  // which the threads share
  on_ranks(2, [&](ProcessGroup& ranks) {
    const auto group = std::make_shared<ProcessGroup>(ranks, "tensor");
    const std::lock_guard lock(generator);
    torch::manual_seed(8);
    const ColumnLinear first(ColumnLinearOptions{.in_features = kFeatures, .out_features = kHidden},
                             group);
    const RowLinear second(RowLinearOptions{.in_features = kHidden, .out_features = kClasses},
                           group);
    EXPECT_TRUE(torch::equal(first->weight, own_part(up->weight, 0, first->shard)));
    EXPECT_TRUE(torch::equal(first->bias, own_part(up->bias, 0, first->shard)));
    EXPECT_TRUE(torch::equal(second->weight, own_part(down->weight, 1, second->shard)));
    EXPECT_TRUE(torch::equal(second->bias, down->bias));
  });
}

TEST(ParallelLinear, whole_layers_are_divided_joined_and_lost_in_place) {
  const auto rows = all_rows();
  std::mutex generator;  // which the threads share
  on_ranks(2, [&](ProcessGroup& ranks) {
    const auto group = std::make_shared<ProcessGroup>(ranks, "tensor");
    ColumnLinear layer{nullptr};
    {
      const std::lock_guard lock(generator);
      torch::manual_seed(9);
      layer = ColumnLinear(ColumnLinearOptions{
          .in_features = kFeatures, .out_features = kHidden, .gather_output = true});
    }
    layer->to(torch::kDouble);
    const auto whole = layer(rows.x);
    whole.sum().backward();
    const auto weight = layer->weight.detach().clone();
    EXPECT_TRUE(layer->shards().empty());
    EXPECT_TRUE(torch::equal(whole, torch::linear(rows.x, layer->weight, layer->bias)));

    const auto parameter = layer->parameters()[0];
    layer->divide(group);
    EXPECT_TRUE(torch::equal(parameter, own_part(weight, 0, layer->shard)));
    EXPECT_FALSE(parameter.grad().defined());
    const auto divided = layer(rows.x);
    EXPECT_TRUE(torch::allclose(divided, whole, 0.0, kTolerance));
    divided.sum().backward();
    EXPECT_EQ(parameter.grad().sizes(), parameter.sizes());
    EXPECT_TRUE(test::says(test::message_of<ModuleError>([&] { layer->divide(group); }),
                           {"divided already"}));

    layer->join();
    layer->join();  // does nothing
    EXPECT_TRUE(torch::equal(parameter, weight));
    layer(rows.x).sum().backward();
    EXPECT_EQ(parameter.grad().sizes(), weight.sizes());

    layer->divide(group);
    layer->abandon();
    EXPECT_TRUE(test::says(test::message_of<ModuleError>([&] { layer(rows.x); }),
                           {"ColumnLinear", "make the module anew"}));
  });
}

TEST(ParallelLinear, gradients_are_clipped_by_the_norm_of_the_whole_model) {
  const auto rows = all_rows();
  const auto start = first_state(Kind::perceptron);
  const auto gradients_of = [](const Net& net) {
    StateDict state;
    for (const auto& item : net.named_parameters()) {
      state.tensors[item.key()] = item.value().grad().clone();
    }
    return state;
  };
  for (const double max_norm : {0.01, 1e3}) {
    Net whole(Kind::perceptron, nullptr);
    whole.take(start);
    whole.row_losses(rows.x, rows.classes).sum().backward();
    const double norm = torch::nn::utils::clip_grad_norm_(whole.parameters(), max_norm);
    on_ranks(4, [&](ProcessGroup& ranks) {
      const auto group = std::make_shared<ProcessGroup>(ranks, "tensor");
      Net net(Kind::perceptron, group);
      const auto shards = find_shards(net);
      net.take(take_shards(start, shards));
      net.row_losses(rows.x, rows.classes).sum().backward();
      const auto found = clip_grad_norm_of_shards(net, max_norm, *group);
      EXPECT_NEAR(found.item<double>(), norm, kTolerance * norm);
      expect_near(gradients_of(whole), gather_shards(gradients_of(net), shards, *group), "clipped");
    });
  }
}

}  // namespace levin::parallel_linear_test
