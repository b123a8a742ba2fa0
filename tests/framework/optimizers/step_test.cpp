// What a step does with gradients that are missing, sparse, scaled, not finite or oddly laid out;
// what options are refused; and how optimizers are put together.

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/all.h>
#include <levin/framework/solvers/optimizer_list.h>
#include <levin/framework/threads/shared_work.h>

namespace step_test {

/// The optimizers that step by the gradients of batches: neither solvers nor learners, which take
/// rows instead of gradients.
std::vector<std::string> for_batches() {
  std::vector<std::string> names;
  for (const auto& entry : levin::shipped_optimizers().entries()) {
    if (levin::is_solver(entry)) continue;
    if (levin::to_value(entry.draft().fields).contains("rows_a_step")) continue;
    names.push_back(entry.name);
  }
  return names;
}

torch::Tensor leaf(std::vector<double> values) {
  return torch::tensor(values, torch::kDouble).requires_grad_();
}

std::vector<std::string> per_parameter_optimizers() {
  return {"SGD", "Adam", "AdamW", "Adagrad", "RMSprop"};
}

// With momentum where the class has it, so that there is state.
std::unique_ptr<levin::Optimizer> make(const std::string& name, std::vector<torch::Tensor> p) {
  levin::Value options = levin::Value::Object{{"learning_rate", 0.1}};
  if (name == "SGD" || name == "RMSprop") options["momentum"] = 0.5;
  if (name == "SGD") options["dampening"] = 0.25;
  return levin::shipped_optimizers().make(name, options, std::move(p));
}

TEST(OptimizersStep, parameters_without_gradient_are_left_out_and_join_later) {
  for (const auto& name : per_parameter_optimizers()) {
    auto a = leaf({1, 2});
    auto b = leaf({3, 4, 5});
    auto alone = leaf({3, 4, 5});
    const auto both = make(name, {a, b});
    const auto single = make(name, {alone});
    for (int k = 0; k < 4; ++k) {
      a.mutable_grad() = torch::full({2}, 0.5 + k, torch::kDouble);
      const auto gradient = torch::full({3}, 1.0 - k, torch::kDouble);
      b.mutable_grad() = k == 0 || k == 2 ? torch::Tensor() : gradient.clone();
      alone.mutable_grad() = b.grad().defined() ? gradient.clone() : torch::Tensor();
      both->step();
      single->step();
      EXPECT_TRUE(torch::equal(b, alone)) << name << " step " << k;
    }
    EXPECT_FALSE(torch::equal(b, leaf({3, 4, 5}))) << name;
  }
}

// LibTorch's parameters() lists those of a layer twice that was registered twice.
TEST(OptimizersStep, a_parameter_that_is_listed_twice_is_changed_once) {
  auto a = leaf({1, 2});
  auto b = leaf({3});
  const auto step = [&](levin::Optimizer& optimizer) {
    EXPECT_EQ(optimizer.groups()[0].parameters.size(), 2U);
    EXPECT_EQ(optimizer.stepped().size(), 2U);
    a.mutable_grad() = torch::ones_like(a);
    b.mutable_grad() = torch::ones_like(b);
    const auto before = a.detach().clone();
    optimizer.step();
    return (before - a.detach())[0].item<double>();
  };
  levin::SGD own({a, b, a}, {.learning_rate = 0.5});
  EXPECT_DOUBLE_EQ(step(own), 0.5);
  const auto adapted = levin::adapt(std::make_unique<torch::optim::SGD>(
      std::vector<torch::Tensor>{a, b, a}, torch::optim::SGDOptions(0.5)));
  EXPECT_DOUBLE_EQ(step(*adapted), 0.5);
}

// The class's name is what checkpoints record.
class SignDescent : public levin::PerParameterOptimizer {
 public:
  explicit SignDescent(std::vector<torch::Tensor> parameters)
      : PerParameterOptimizer(levin::single_group(std::move(parameters)), 0.1, 0.0,
                              {.has_fused = false}) {}

 protected:
  void plain(const Lists& lists) override {
    for (size_t i = 0; i < lists.parameters.size(); ++i) {
      lists.parameters[i].add_(lists.gradients[i].sign(), -lists.learning_rate);
    }
  }
};

TEST(OptimizersStep, an_optimizer_is_called_by_its_class_unless_it_says_otherwise) {
  const SignDescent optimizer(std::vector<torch::Tensor>{leaf({1})});
  EXPECT_EQ(optimizer.name(), "SignDescent");
  EXPECT_EQ(optimizer.state_dict().values.at("name"), levin::Value("SignDescent"));
}

TEST(OptimizersStep, is_left_out_where_the_closure_returns_no_loss) {
  for (const auto& name : for_batches()) {
    auto a = leaf({1, 2});
    a.mutable_grad() = torch::ones_like(a);
    const auto optimizer = levin::shipped_optimizers().make(name, {}, {a});
    EXPECT_FALSE(optimizer->step([] { return torch::Tensor(); }).defined());
    EXPECT_TRUE(torch::equal(a, leaf({1, 2}))) << name;
  }
}

TEST(OptimizersStep, lets_go_of_the_gradients) {
  auto a = leaf({1, 2});
  a.mutable_grad() = torch::ones_like(a);
  const auto gradient = a.grad();
  levin::Adam optimizer({a});
  optimizer.step();
  optimizer.zero_grad();
  EXPECT_FALSE(a.grad().defined());
  EXPECT_EQ(gradient.use_count(), 1U);
}

// The CPU's fused kernels don't look at strides.
TEST(OptimizersStep, gradients_of_another_memory_layout_give_the_same) {
  for (const auto& name : per_parameter_optimizers()) {
    const auto gradient = torch::arange(6, torch::kDouble).view({2, 3}) - 2.5;
    const auto start = torch::ones({2, 3}, torch::kDouble);
    auto a = start.clone().requires_grad_();
    auto b = start.clone().requires_grad_();
    a.mutable_grad() = gradient.clone();
    b.mutable_grad() = gradient.t().contiguous().t();
    make(name, {a})->step();
    make(name, {b})->step();
    EXPECT_TRUE(torch::allclose(a, b, 1e-13, 1e-13)) << name;
  }
}

// Parameters of many entries are cut into parts, which the helpers share.
TEST(OptimizersStep, has_the_same_bits_with_any_number_of_threads_and_libtorchs_numbers) {
  const std::vector<int64_t> sizes = {100'352, 128, 70'001, 40, 3};
  std::vector<torch::Tensor> start;
  std::vector<torch::Tensor> gradients;
  torch::manual_seed(2);
  for (const int64_t size : sizes) {
    start.push_back(torch::rand({size}) - 0.5);
    gradients.push_back(torch::rand({size}) - 0.5);
  }
  const auto copies = [&] {
    std::vector<torch::Tensor> result;
    for (const auto& tensor : start) result.push_back(tensor.clone());
    return result;
  };
  const auto zeros = [&] {
    std::vector<torch::Tensor> result;
    for (const auto& tensor : start) result.push_back(torch::zeros_like(tensor));
    return result;
  };
  auto expected = copies();
  auto means = zeros();
  auto squares = zeros();
  for (int step = 1; step <= 3; ++step) {
    const std::vector<torch::Tensor> steps(sizes.size(), torch::full({}, step, torch::kFloat));
    at::_fused_adam_(expected, gradients, means, squares, {}, steps, 1e-3, 0.9, 0.999, 0.01, 1e-8,
                     false, false);
  }
  std::vector<torch::Tensor> alone;  // the parameters of a step without helpers
  for (const int helpers : {0, 1, 3}) {
    const levin::HelperThreads threads(helpers);
    auto parameters = copies();
    for (size_t i = 0; i < sizes.size(); ++i) {
      parameters[i].requires_grad_();
      parameters[i].mutable_grad() = gradients[i];
    }
    levin::Adam adam(parameters, {.learning_rate = 1e-3, .weight_decay = 0.01});
    for (int step = 1; step <= 3; ++step) adam.step();
    for (size_t i = 0; i < sizes.size(); ++i) {
      EXPECT_TRUE(torch::allclose(parameters[i].detach(), expected[i], 1e-6, 1e-8)) << i;
    }
    if (alone.empty()) alone = parameters;
    for (size_t i = 0; i < sizes.size(); ++i) {
      EXPECT_TRUE(parameters[i].detach().equal(alone[i])) << helpers << " helpers, " << i;
    }
  }
}

// Each operation that yields a denormal number takes over 100 cycles on x86.
TEST(OptimizersStep, means_of_a_gradient_that_has_become_0_end_at_0) {
  auto weight = torch::ones({40}).requires_grad_();
  levin::Adam adam({weight}, {});
  for (int step = 0; step < 1200; ++step) {
    weight.mutable_grad() = torch::full({40}, step == 0 ? 1e-3 : 0.0);
    adam.step();
  }
  int states = 0;
  const auto state = adam.state_dict();
  for (const auto& [name, tensor] : state.tensors) {
    if (!name.ends_with("exp_avg")) continue;
    ++states;
    EXPECT_TRUE(tensor.eq(0).all().item<bool>()) << tensor;
  }
  EXPECT_EQ(states, 1);
}

TEST(OptimizersStep, divides_gradients_by_the_grad_scale) {
  for (const auto& name : for_batches()) {
    auto a = leaf({1, 2});
    auto b = leaf({1, 2});
    const auto plain = levin::shipped_optimizers().make(name, {}, {a});
    const auto scaled = levin::shipped_optimizers().make(name, {}, {b});
    scaled->set_grad_scale(torch::tensor(8.0f));
    for (int k = 0; k < 3; ++k) {
      plain->step([&] {
        a.mutable_grad() = a.detach() + k;
        return a.detach().square().sum();
      });
      scaled->step([&] {
        b.mutable_grad() = (b.detach() + k) * 8;
        return b.detach().square().sum();
      });
    }
    EXPECT_TRUE(torch::allclose(a, b, 1e-12, 1e-12)) << name;
  }
}

TEST(OptimizersStep, changes_nothing_where_found_inf_is_set) {
  for (const auto& name : for_batches()) {
    auto a = leaf({1, 2});
    auto b = leaf({1, 2});
    const auto plain = levin::shipped_optimizers().make(name, {}, {a});
    const auto careful = levin::shipped_optimizers().make(name, {}, {b});
    const auto found_inf = torch::zeros({1});
    careful->set_found_inf(found_inf);
    for (const bool finite : {false, true, true, false, true}) {
      const auto step = [&](torch::Tensor& p, levin::Optimizer& optimizer) {
        optimizer.step([&] {
          p.mutable_grad() = finite ? p.detach() * 3 : torch::full_like(p, INFINITY);
          return p.detach().square().sum();
        });
      };
      found_inf.fill_(finite ? 0.0f : 2.0f);
      if (finite) step(a, *plain);
      step(b, *careful);
    }
    EXPECT_TRUE(torch::equal(a, b)) << name;
    EXPECT_EQ(plain->state_dict().tensors.size(), careful->state_dict().tensors.size());
    for (const auto& [key, tensor] : plain->state_dict().tensors) {
      EXPECT_TRUE(torch::equal(tensor, careful->state_dict().tensor(key))) << name << " " << key;
    }
  }
}

// Row 38: sparse gradients change only the rows they have, to the values dense ones give.
TEST(OptimizersStep, sparse_gradients_equal_dense_ones) {
  for (const std::string name : {"SGD", "Adagrad"}) {
    auto dense = torch::ones({5, 2}, torch::kDouble).requires_grad_();
    auto sparse = dense.detach().clone().requires_grad_();
    const levin::Value options = levin::Value::Object{{"learning_rate", 0.1}};
    const auto by_dense = levin::shipped_optimizers().make(name, options, {dense});
    const auto by_sparse = levin::shipped_optimizers().make(name, options, {sparse});
    for (int k = 0; k < 3; ++k) {
      const auto indices = torch::tensor({{1, 3, 1}}, torch::kLong);  // row 1 twice
      const auto values = torch::arange(6, torch::kDouble).view({3, 2}) + 1 + k;
      sparse.mutable_grad() = torch::sparse_coo_tensor(indices, values, {5, 2});
      dense.mutable_grad() = sparse.grad().to_dense();
      by_dense->step();
      by_sparse->step();
    }
    EXPECT_TRUE(torch::allclose(dense, sparse, 1e-14, 1e-14)) << name;
    EXPECT_TRUE(torch::equal(sparse[0], torch::ones({2}, torch::kDouble))) << name;
  }
}

// Entries that are single numbers are taken one by one; the numbers are those of dense gradients.
TEST(OptimizersStep, sparse_gradients_of_single_numbers_equal_dense_ones) {
  for (const std::string name : {"SGD", "Adagrad"}) {
    for (const bool maximize : {false, true}) {
      for (const auto type : {torch::kFloat, torch::kDouble}) {
        const auto places = torch::tensor({{1, 0, 1, 2}, {3, 0, 3, 4}}, torch::kLong);  // one twice
        for (const auto& indices : {places, places.narrow(0, 1, 1)}) {
          const std::vector<int64_t> shape =
              indices.size(0) == 2 ? std::vector<int64_t>{3, 5} : std::vector<int64_t>{5};
          auto dense =
              torch::linspace(-1.0, 1.0, 15).to(type).narrow(0, 0, torch::ones(shape).numel());
          dense = dense.reshape(shape).clone().requires_grad_();
          auto sparse = dense.detach().clone().requires_grad_();
          const auto untouched = dense.detach().flatten()[1].item<double>();
          const levin::Value options =
              levin::Value::Object{{"learning_rate", 0.1}, {"maximize", maximize}};
          const auto by_dense = levin::shipped_optimizers().make(name, options, {dense});
          const auto by_sparse = levin::shipped_optimizers().make(name, options, {sparse});
          const auto version = sparse._version();
          for (int k = 0; k < 3; ++k) {
            const auto values = torch::arange(4).to(type) - 1.5 + k;
            sparse.mutable_grad() = torch::sparse_coo_tensor(indices, values, shape);
            dense.mutable_grad() = sparse.grad().to_dense();
            by_dense->step();
            by_sparse->step();
          }
          EXPECT_TRUE(torch::allclose(dense, sparse, 1e-6, 1e-6)) << name << dense << sparse;
          EXPECT_EQ(sparse.detach().flatten()[1].item<double>(), untouched);
          EXPECT_GT(sparse._version(), version) << "autograd would miss the change";
        }
      }
    }
  }
}

TEST(OptimizersStep, sparse_gradients_are_refused_where_they_make_no_sense) {
  auto weight = torch::ones({5, 2}).requires_grad_();
  const auto gradient = torch::sparse_coo_tensor(torch::tensor({{1}}), torch::ones({1, 2}), {5, 2});
  const auto refuses = [&](levin::Optimizer&& optimizer) {
    weight.mutable_grad() = gradient;
    EXPECT_THROW(optimizer.step(), levin::ModuleError) << optimizer.name();
    EXPECT_TRUE(torch::equal(weight, torch::ones({5, 2}))) << optimizer.name();
  };
  refuses(levin::Adam({weight}));
  refuses(levin::AdamW({weight}));
  refuses(levin::RMSprop({weight}));
  refuses(levin::SGD({weight}, {.momentum = 0.9}));
  refuses(levin::Adagrad({weight}, {.weight_decay = 0.1}));
}

TEST(OptimizersStep, complex_parameters_move_like_their_real_and_imaginary_parts) {
  for (const auto& name : per_parameter_optimizers()) {
    auto complex = torch::view_as_complex(torch::tensor({{1.0, 2.0}, {3.0, 4.0}})).requires_grad_();
    auto real = torch::tensor({{1.0, 2.0}, {3.0, 4.0}}).requires_grad_();
    const auto by_complex = make(name, {complex});
    const auto by_real = make(name, {real});
    for (int k = 0; k < 3; ++k) {
      const auto gradient = torch::tensor({{0.5, -1.0}, {2.0, 0.25}}) * (k + 1);
      real.mutable_grad() = gradient;
      complex.mutable_grad() = torch::view_as_complex(gradient.clone());
      by_complex->step();
      by_real->step();
    }
    EXPECT_TRUE(torch::allclose(torch::view_as_real(complex.detach()), real)) << name;
  }
}

TEST(OptimizersStep, half_precision_parameters_move) {
  for (const auto& name : per_parameter_optimizers()) {
    for (const auto type : {torch::kHalf, torch::kBFloat16}) {
      for (const int64_t size : {3, 100}) {  // fewer entries than a vector has, and more
        auto a = torch::ones({size}, type).requires_grad_();
        a.mutable_grad() = torch::ones({size}, type);
        make(name, {a})->step();
        EXPECT_TRUE(a.lt(1).all().item<bool>()) << name;
      }
    }
  }
}

TEST(OptimizersGroups, have_their_own_rate_and_decay) {
  auto a = leaf({1.0});
  auto b = leaf({1.0});
  levin::SGD optimizer(
      {{.parameters = {a}}, {.parameters = {b}, .learning_rate = 0.5, .weight_decay = 0.0}},
      {.learning_rate = 0.1, .weight_decay = 1.0});
  EXPECT_EQ(optimizer.groups()[0].base_learning_rate, 0.1);
  EXPECT_EQ(optimizer.groups()[1].base_learning_rate, 0.5);
  a.mutable_grad() = torch::ones_like(a);
  b.mutable_grad() = torch::ones_like(b);
  optimizer.step();
  EXPECT_DOUBLE_EQ(a.item<double>(), 1.0 - 0.1 * 2.0);
  EXPECT_DOUBLE_EQ(b.item<double>(), 0.5);
  optimizer.set_learning_rate(0.25, 1);
  optimizer.step();
  EXPECT_DOUBLE_EQ(b.item<double>(), 0.25);
}

TEST(OptimizersGroups, learning_rates_reach_adapted_optimizers) {
  auto a = leaf({1.0});
  const auto optimizer = levin::adapt(std::make_unique<torch::optim::SGD>(
      std::vector<torch::Tensor>{a}, torch::optim::SGDOptions(0.5)));
  EXPECT_EQ(optimizer->groups()[0].learning_rate, 0.5);
  optimizer->set_learning_rate(0.25);
  a.mutable_grad() = torch::ones_like(a);
  optimizer->step();
  EXPECT_DOUBLE_EQ(a.item<double>(), 0.75);
}

TEST(OptimizersOptions, that_cannot_be_are_refused) {
  const std::vector<torch::Tensor> p = {leaf({1.0})};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(levin::SGD(p, {.learning_rate = -1.0}), levin::ConfigError);
  EXPECT_THROW(levin::SGD(p, {.learning_rate = nan}), levin::ConfigError);
  EXPECT_THROW(levin::SGD(p, {.momentum = -0.1}), levin::ConfigError);
  EXPECT_THROW(levin::SGD(p, {.nesterov = true}), levin::ConfigError);
  EXPECT_THROW(levin::SGD(p, {.momentum = 0.9, .dampening = 0.1, .nesterov = true}),
               levin::ConfigError);
  EXPECT_THROW(levin::Adam(p, {.betas = {0.9}}), levin::ConfigError);
  EXPECT_THROW(levin::Adam(p, {.betas = {0.9, 1.0}}), levin::ConfigError);
  EXPECT_THROW(levin::AdamW(p, {.eps = -1e-8}), levin::ConfigError);
  EXPECT_THROW(levin::Adagrad(p, {.lr_decay = -1.0}), levin::ConfigError);
  EXPECT_THROW(levin::RMSprop(p, {.weight_decay = -1.0}), levin::ConfigError);
  EXPECT_THROW(levin::LBFGS(p, {.line_search_fn = "armijo"}), levin::ConfigError);
  EXPECT_THROW(levin::LBFGS(p, {.max_iter = 0}), levin::ConfigError);
}

TEST(OptimizersOptions, parameters_that_cannot_be_learnt_are_refused) {
  auto a = leaf({1.0});
  EXPECT_THROW(levin::SGD(std::vector<torch::Tensor>{}), levin::ConfigError);
  EXPECT_THROW(levin::SGD({{.parameters = {a}}, {.parameters = {a}}}), levin::ConfigError);
  EXPECT_THROW(levin::SGD({a * 2}), levin::ConfigError);
  EXPECT_THROW(levin::SGD({torch::ones({2}, torch::kLong)}), levin::ConfigError);
  EXPECT_THROW(levin::SGD({torch::Tensor()}), levin::ConfigError);
}

TEST(OptimizersList, names_the_nearest) {
  const auto message = [](auto&& call) -> std::string {
    try {
      call();
    } catch (const levin::ConfigError& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  const auto unknown =
      message([] { levin::shipped_optimizers().make("Adamm", {}, {leaf({1.0})}); });
  EXPECT_EQ(unknown, "unknown optimizer 'Adamm'; did you mean 'Adam'?");
  const auto wrong_key = message([] {
    levin::shipped_optimizers().make("Adam", levin::Value::Object{{"learningrate", 0.1}},
                                     {leaf({1.0})});
  });
  EXPECT_NE(wrong_key.find("learning_rate"), std::string::npos) << wrong_key;
  const auto wrong_value = message([] {
    levin::shipped_optimizers().make("Adam", levin::Value::Object{{"eps", -1.0}}, {leaf({1.0})});
  });
  EXPECT_NE(wrong_value.find("Adam: eps"), std::string::npos) << wrong_value;
  EXPECT_EQ(message([] { levin::shipped_schedulers().make("StepLr", {}); }),
            "unknown scheduler 'StepLr'; did you mean 'StepLR'?");
}

TEST(OptimizersResult, is_made_of_what_a_user_returns) {
  const std::vector<torch::Tensor> p = {leaf({1.0})};
  const auto plain = [&]() -> levin::Optimizers { return levin::SGD(p, {.learning_rate = 0.1}); };
  const auto torchs = [&]() -> levin::Optimizers {
    return {std::make_unique<torch::optim::SGD>(p, 0.1)};
  };
  const auto scheduled = [&]() -> levin::Optimizers {
    return {levin::Adam(p), levin::StepLR({.step_size = 10}), {.interval = levin::Interval::step}};
  };
  const auto made = [&]() -> levin::Optimizers {
    return {levin::shipped_optimizers().make("LBFGS", {}, p),
            levin::shipped_schedulers().make("ReduceLROnPlateau", {}),
            {.monitor = "val_loss"}};
  };
  EXPECT_EQ(plain().entries()[0].optimizer->name(), "SGD");
  EXPECT_EQ(torchs().entries()[0].optimizer->groups()[0].learning_rate, 0.1);
  EXPECT_EQ(scheduled().entries()[0].schedulers[0].interval, levin::Interval::step);
  EXPECT_EQ(made().entries()[0].schedulers[0].monitor, "val_loss");
  EXPECT_TRUE(levin::Optimizers().empty());
}

TEST(OptimizersResult, refuses_what_does_not_go_together) {
  const std::vector<torch::Tensor> p = {leaf({1.0})};
  levin::Optimizers none;
  EXPECT_THROW(none.add_scheduler(levin::shipped_schedulers().make("LinearLR", {})),
               levin::ConfigError);
  EXPECT_THROW(none.add(nullptr), levin::ConfigError);
  levin::Optimizers one(levin::SGD{p});
  EXPECT_THROW(one.add_scheduler(levin::shipped_schedulers().make("ReduceLROnPlateau", {})),
               levin::ConfigError);
  EXPECT_THROW(
      one.add_scheduler(levin::shipped_schedulers().make("LinearLR", {}), {.frequency = 0}),
      levin::ConfigError);
  EXPECT_THROW(levin::adapt(nullptr), levin::ConfigError);
}

// An optimizer given to Optimizers is moved: it must go on with its state.
TEST(OptimizersResult, optimizers_move_with_their_state) {
  auto a = leaf({1.0, 2.0});
  auto b = leaf({1.0, 2.0});
  levin::Adam stays({a});
  levin::Adam moves({b});
  const auto step = [](torch::Tensor& p, levin::Optimizer& optimizer) {
    p.mutable_grad() = p.detach() * 2;
    optimizer.step();
  };
  step(a, stays);
  step(b, moves);
  levin::Adam moved(std::move(moves));
  step(a, stays);
  step(b, moved);
  EXPECT_TRUE(torch::equal(a, b));
}

// --- CUDA ---

class OptimizersCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU";
  }
};

TEST_F(OptimizersCuda, agree_with_the_cpu) {
  for (const auto& name : per_parameter_optimizers()) {
    for (const auto type : {torch::kFloat, torch::kDouble}) {
      auto host = torch::linspace(-1, 1, 24, type).view({4, 6}).requires_grad_();
      auto device = host.detach().cuda().requires_grad_();
      const auto on_host = make(name, {host});
      const auto on_device = make(name, {device});
      for (int k = 0; k < 5; ++k) {
        if (k == 3) {
          on_host->set_learning_rate(0.02);
          on_device->set_learning_rate(0.02);
        }
        host.mutable_grad() = torch::cos(host.detach() * (k + 1));
        device.mutable_grad() = host.grad().cuda();
        on_host->step();
        on_device->step();
      }
      const double tolerance = type == torch::kFloat ? 1e-5 : 1e-12;
      EXPECT_TRUE(torch::allclose(host, device.cpu(), tolerance, tolerance)) << name;
    }
  }
}

// More parameters and entries than one start of a hand-written kernel takes at a time.
TEST_F(OptimizersCuda, many_parameters_of_many_sizes_agree_with_the_cpu) {
  torch::manual_seed(4);
  for (const double weight_decay : {0.0, 0.1}) {
    for (const std::string kind : {"Adam", "AdamW", "SGD"}) {
      std::vector<torch::Tensor> host;
      std::vector<torch::Tensor> device;
      for (int64_t i = 0; i < 120; ++i) {
        host.push_back(torch::randn({i % 7 == 0 ? 5000 + i : i % 5 + 1, 1 + i % 3}));
        device.push_back(host.back().cuda().requires_grad_());
        host.back().requires_grad_();
      }
      const auto optimizer = [&](const std::vector<torch::Tensor>& parameters) {
        std::unique_ptr<levin::Optimizer> made;
        if (kind == "AdamW") {
          made = std::make_unique<levin::AdamW>(parameters,
                                                levin::AdamWOptions{.weight_decay = weight_decay});
        } else if (kind == "Adam") {
          made = std::make_unique<levin::Adam>(
              parameters, levin::AdamOptions{.weight_decay = weight_decay, .maximize = true});
        } else {
          made = std::make_unique<levin::SGD>(
              parameters, levin::SGDOptions{.learning_rate = 0.1, .weight_decay = weight_decay});
        }
        return made;
      };
      const auto on_host = optimizer(host);
      const auto on_device = optimizer(device);
      for (int step = 0; step < 4; ++step) {
        for (size_t i = 0; i < host.size(); ++i) {
          host[i].mutable_grad() = torch::randn_like(host[i].detach());
          device[i].mutable_grad() = host[i].grad().cuda();
        }
        on_host->step();
        on_device->step();
      }
      for (size_t i = 0; i < host.size(); ++i) {
        EXPECT_TRUE(torch::allclose(host[i], device[i].cpu(), 1e-5, 1e-6)) << i;
      }
      for (const auto& [name, tensor] : on_host->state_dict().tensors) {
        EXPECT_TRUE(torch::allclose(tensor, on_device->state_dict().tensor(name).cpu(), 1e-5, 1e-7))
            << name;
      }
    }
  }
}

TEST_F(OptimizersCuda, changes_nothing_where_found_inf_is_set) {
  for (const auto& name : per_parameter_optimizers()) {
    auto a = torch::ones({3}, torch::kCUDA).requires_grad_();
    auto b = torch::ones({3}, torch::kCUDA).requires_grad_();
    const auto plain = make(name, {a});
    const auto careful = make(name, {b});
    const auto found_inf = torch::zeros({1}, torch::kCUDA);
    careful->set_found_inf(found_inf);
    careful->set_grad_scale(torch::full({1}, 4.0f, torch::kCUDA));
    for (const bool finite : {false, true, true, false, true}) {
      found_inf.fill_(finite ? 0.0f : 2.0f);
      a.mutable_grad() = a.detach() * 3;
      b.mutable_grad() = finite ? b.detach() * 12 : torch::full_like(b, INFINITY);
      if (finite) plain->step();
      careful->step();
    }
    EXPECT_TRUE(torch::equal(a, b)) << name;
    for (const auto& [key, tensor] : plain->state_dict().tensors) {
      EXPECT_TRUE(torch::equal(tensor, careful->state_dict().tensor(key))) << name << " " << key;
    }
  }
}

// A captured graph replays kernels alone: the rate it reads must be on the device.
TEST_F(OptimizersCuda, a_rate_set_later_reaches_gradients_of_any_layout) {
  auto a = torch::zeros({1, 4}, torch::kCUDA).requires_grad_();
  levin::SGD optimizer({a}, {.learning_rate = 1.0});
  a.mutable_grad() = torch::ones({4, 1}, torch::kCUDA).t();  // strides [1, 1]
  optimizer.step();
  optimizer.set_learning_rate(0.5);
  optimizer.step();
  EXPECT_TRUE(torch::equal(a.cpu(), torch::full({1, 4}, -1.5f)));
}

}  // namespace step_test
