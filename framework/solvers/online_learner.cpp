#include <levin/framework/solvers/online_learner.h>

#include <algorithm>
#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/solvers/hogwild_parts.h>
#include <levin/framework/solvers/linear_objective.h>
#include <levin/framework/tensor/buffer.h>

namespace levin {
namespace {

using kernels::OnlineMethod;
using kernels::OnlineSettings;

/// The kernels for one type of numbers.
template <class Number>
struct OnlineKernels;
template <>
struct OnlineKernels<float> {
  static auto start() { return kernels::best().online_start; }
  static auto pass() { return kernels::best().online_pass; }
  static auto finish() { return kernels::best().online_finish; }
  static auto weights() { return kernels::best().online_weights; }
};
template <>
struct OnlineKernels<double> {
  static auto start() { return kernels::best().online_start_double; }
  static auto pass() { return kernels::best().online_pass_double; }
  static auto finish() { return kernels::best().online_finish_double; }
  static auto weights() { return kernels::best().online_weights_double; }
};

bool has_online_penalties(const OnlineSettings& settings) {
  return settings.l1 > 0.0 || settings.l2 > 0.0;
}

/// The settings as numbers in a fixed order, by which checkpoints keep and compare them.
std::vector<double> online_numbers(const OnlineSettings& s) {
  return {static_cast<double>(s.loss),
          s.learning_rate,
          s.rate_decay,
          s.rate_power,
          s.eps,
          s.beta,
          s.l1,
          s.l2};
}

OnlineSettings online_settings_from(const torch::Tensor& saved, OnlineSettings settings) {
  const auto numbers = saved.to(at::kCPU, at::kDouble).contiguous();
  const double* n = numbers.const_data_ptr<double>();
  settings.loss = n[0] == 0.0 ? kernels::RowLoss::logistic : kernels::RowLoss::squared;
  settings.learning_rate = n[1];
  settings.rate_decay = n[2];
  settings.rate_power = n[3];
  settings.eps = n[4];
  settings.beta = n[5];
  settings.l1 = n[6];
  settings.l2 = n[7];
  return settings;
}

/// The mean of the ranks' values, which this changes. A collective.
torch::Tensor mean_of_ranks(Ranks& ranks, torch::Tensor values) {
  ranks.sum({values.mutable_data_ptr<double>(), static_cast<size_t>(values.numel())});
  return values.div_(static_cast<double>(ranks.size()));
}

}  // namespace

OnlineLearner::OnlineLearner(std::vector<torch::Tensor> parameters, OnlineSettings settings,
                             int64_t rows_a_step, int64_t average_every, bool hogwild)
    : Optimizer(single_group(std::move(parameters)), settings.learning_rate, /*weight_decay=*/0.0),
      own_(settings),
      settings_(settings),
      rows_a_step_(rows_a_step),
      average_every_(average_every),
      hogwild_(hogwild) {
  const auto& all = groups_[0].parameters;
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].dim() == 2 ? weight_at_ = i : bias_at_ = i;
  }
}

torch::Tensor OnlineLearner::step(const Closure& /*closure*/) {
  throw ModuleError::contract(
      name(), "was asked to step by the gradients of a batch",
      "it learns from the rows themselves: let the Trainer run it, or call begin and learn");
}

// --- what is learned ---

void OnlineLearner::begin(const LinearLoss& loss) {
  const auto refuse = [this](std::string_view what, std::string_view hint) {
    throw ConfigError::conflict(fmt::format("the optimizer {} {}", name(), what), hint);
  };
  if (loss.kind == LinearLoss::Kind::softmax || loss.weight.size(0) != 1) {
    refuse(fmt::format("with a model of {} outputs", loss.weight.size(0)),
           "it is for one output: two classes with loss = logistic or auto, or one value. For "
           "several classes, use SGD or Adagrad (sparse_gradients = true if the rows are sparse), "
           "or a solver");
  }
  if (!LinearObjective::fits(loss, stepped())) {
    refuse("with other parameters than those of the linear loss",
           "give it all parameters of the module");
  }
  if (!loss.weight.is_cpu()) {
    refuse(fmt::format("on the device {}", loss.weight.device().str()),
           "it learns on the CPU: set accelerator = cpu");
  }
  const auto type = loss.weight.scalar_type();
  if ((type != at::kFloat && type != at::kDouble) || !loss.weight.is_contiguous()) {
    refuse(fmt::format("with weights of type {}", c10::toString(type)),
           "they must be contiguous float32 or float64 numbers");
  }
  const bool model_penalises = loss.l1_strength > 0.0 || loss.l2_strength > 0.0;
  if (model_penalises && own_.method == OnlineMethod::ftrl) {
    refuse(fmt::format("with l1_strength = {} and l2_strength = {} of the model", loss.l1_strength,
                       loss.l2_strength),
           "its penalties are those of the sum of all losses, not of their mean: set the model's "
           "strengths to 0, and l1 and l2 of FTRL");
  }
  if (model_penalises && has_online_penalties(own_)) {
    refuse("with penalties of its own and of the model",
           "set l1_strength and l2_strength in one of the two");
  }
  if (hogwild_ && own_.method != OnlineMethod::ftrl &&
      (model_penalises || has_online_penalties(own_))) {
    refuse("with hogwild and penalties",
           "set l1_strength and l2_strength to 0, also those of the model, or use FTRL, whose "
           "penalties need no counts of steps");
  }
  batch_ = OnlineBatch(loss, /*one_by_one=*/rows_a_step_ == 1, name());
  settings_ = own_;
  settings_.loss = loss.kind == LinearLoss::Kind::logistic ? kernels::RowLoss::logistic
                                                           : kernels::RowLoss::squared;
  if (model_penalises) {
    settings_.l1 = loss.l1_strength;
    settings_.l2 = 2.0 * loss.l2_strength;
  }
  const auto& all = groups_[0].parameters;
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].is_same(loss.weight) ? weight_at_ = i : bias_at_ = i;
  }
  has_begun_ = true;
}

double OnlineLearner::learn(const Batch& batch) {
  if (!has_begun_) {
    throw ModuleError::contract("OnlineLearner::learn", "begin hasn't been called",
                                "call begin with the module's linear_loss first");
  }
  const at::NoGradGuard no_grad;
  if (shared_ != nullptr) meet();
  const int64_t count = batch.rows();
  if (count == 0) return 0.0;
  batch_.read(batch);
  adopt_settings();
  const double total = is_double() ? learn_as<double>() : learn_as<float>();
  is_behind_ = true;
  return total / static_cast<double>(count);
}

template <class Number>
double OnlineLearner::learn_as() {
  if (!columns_.defined()) start<Number>();
  auto state = state_of<Number>();
  const kernels::OnlinePass<Number> pass{
      .rows = batch_.rows(),
      .targets = batch_.targets(),
      .row_weights = batch_.row_weights(),
      .rows_a_step = rows_a_step_ == 0 ? batch_.rows().count : rows_a_step_,
      .touched = batch_.touched()};
  const double total = needs_sharing()
                           ? learn_by_threads(columns_settings_, state, pass, shared_.get())
                           : OnlineKernels<Number>::pass()(columns_settings_, state, pass);
  keep(state);
  return total;
}

// --- the state ---

template <class Number>
kernels::OnlineState<Number> OnlineLearner::state_of() const {
  return {.columns = columns_.mutable_data_ptr<Number>(),
          .row_size = weight().size(1),
          .has_bias = bias_at_.has_value(),
          .bias = bias_,
          .bias_squares = bias_squares_,
          .bias_z = bias_z_,
          .steps = steps_,
          .shrunk = shrunk_};
}

template <class Number>
void OnlineLearner::keep(const kernels::OnlineState<Number>& state) {
  bias_ = state.bias;
  bias_squares_ = state.bias_squares;
  bias_z_ = state.bias_z;
  steps_ = state.steps;
  shrunk_ = state.shrunk;
}

torch::Tensor OnlineLearner::bias() const {
  return bias_at_ ? groups_[0].parameters[*bias_at_] : torch::Tensor();
}

/// A number that changes with the parameters.
int64_t OnlineLearner::versions() const {
  int64_t sum = 0;
  for (const auto& parameter : groups_[0].parameters) sum += parameter._version();
  return sum;
}

/// Makes a state that begins with the parameters.
template <class Number>
void OnlineLearner::start() {
  columns_ = shared_ != nullptr ? shared_->columns()
                                : empty_in_huge_pages({weight().size(1), kernels::kOnlineNumbers},
                                                      weight().scalar_type());
  columns_settings_ = settings_;
  bias_ = bias_at_ ? bias().template item<double>() : 0.0;
  bias_squares_ = bias_z_ = shrunk_ = 0.0;
  steps_ = 0;
  auto state = state_of<Number>();
  OnlineKernels<Number>::start()(settings_, state, weight().template const_data_ptr<Number>());
  keep(state);
  versions_ = versions();
  is_behind_ = false;
}

void OnlineLearner::start_from_parameters() { is_double() ? start<double>() : start<float>(); }

/// Makes the state go on with the settings as they are now, and with the parameters if something
/// else has changed them.
void OnlineLearner::adopt_settings() {
  settings_.learning_rate = groups_[0].learning_rate;
  if (versions_ != versions()) columns_.reset();
  if (!columns_.defined() || online_numbers(columns_settings_) == online_numbers(settings_)) return;
  if (settings_.method == OnlineMethod::ftrl) {
    const auto text = [](const OnlineSettings& s) {
      return fmt::format("learning_rate = {}, beta = {}, l1 = {}, l2 = {}", s.learning_rate, s.beta,
                         s.l1, s.l2);
    };
    throw ConfigError::conflict(
        fmt::format("FTRL with {}, after it has learned with {}", text(settings_),
                    text(columns_settings_)),
        "what it has learned belongs to its settings: use no scheduler and go on with the same "
        "settings, or load only the weights and begin a new fit");
  }
  if (has_online_penalties(columns_settings_) || has_online_penalties(settings_)) {
    is_double() ? finish<double>(columns_settings_) : finish<float>(columns_settings_);
  }
  columns_settings_ = settings_;
}

/// Makes up for all steps that weights have missed.
template <class Number>
void OnlineLearner::finish(const OnlineSettings& settings) {
  auto state = state_of<Number>();
  OnlineKernels<Number>::finish()(settings, state);
  keep(state);
}

void OnlineLearner::complete_parameters() {
  if (!is_behind_ || !columns_.defined()) return;
  if (versions_ != versions()) return;  // the parameters were changed by somebody else, and count
  const at::NoGradGuard no_grad;
  if (shared_ != nullptr) refresh();
  is_double() ? write_weights<double>() : write_weights<float>();
  is_behind_ = false;
  versions_ = versions();
}

template <class Number>
void OnlineLearner::write_weights() {
  const auto& to = weight();
  const auto state = state_of<Number>();
  OnlineKernels<Number>::weights()(columns_settings_, state,
                                   to.template mutable_data_ptr<Number>());
  to.unsafeGetTensorImpl()->bump_version();
  if (bias_at_) bias().fill_(bias_);
}

void OnlineLearner::average(Ranks& ranks) {
  if (ranks.size() == 1) return;
  if (shared_ != nullptr) return rest();
  const at::NoGradGuard no_grad;
  is_double() ? average_as<double>(ranks) : average_as<float>(ranks);
}

template <class Number>
void OnlineLearner::average_as(Ranks& ranks) {
  adopt_settings();
  if (!columns_.defined()) start<Number>();
  finish<Number>(columns_settings_);
  const bool is_ftrl = settings_.method == OnlineMethod::ftrl;
  // The first two numbers of each feature, and of the bias behind them.
  const auto with_bias = [&](int64_t column, double of_bias) {
    return at::cat(
        {columns_.select(1, column).to(at::kDouble), at::full({1}, of_bias, at::kDouble)});
  };
  torch::Tensor first = with_bias(0, is_ftrl ? bias_z_ : bias_);
  // The second number means nothing with SGD.
  const bool has_squares = settings_.method != OnlineMethod::sgd;
  torch::Tensor squares = has_squares ? with_bias(1, bias_squares_) : at::zeros_like(first);
  const torch::Tensor weighted = first * squares;
  first = mean_of_ranks(ranks, first);
  if (has_squares) squares = mean_of_ranks(ranks, squares);
  if (settings_.method == OnlineMethod::adagrad) {
    first = at::where(squares > 0.0, mean_of_ranks(ranks, weighted) / squares, first);
  }
  const double steps =
      mean_of_ranks(ranks, at::full({1}, static_cast<double>(steps_), at::kDouble)).item<double>();
  const int64_t features = first.numel() - 1;
  bias_squares_ = squares[features].item<double>();
  const double of_bias = first[features].item<double>();
  if (is_ftrl) {
    bias_z_ = of_bias;
    bias_ = -bias_z_ * settings_.learning_rate / (settings_.beta + std::sqrt(bias_squares_));
    columns_.select(1, 0).copy_(first.narrow(0, 0, features));
  } else {
    const double of_squares = bias_squares_;
    weight().copy_(first.narrow(0, 0, features).view_as(weight()));
    if (bias_at_) bias().fill_(of_bias);
    start<Number>();
    bias_ = of_bias;
    bias_squares_ = of_squares;
  }
  if (has_squares) columns_.select(1, 1).copy_(squares.narrow(0, 0, features));
  steps_ = std::llround(steps);
  OnlineSettings without_penalties = columns_settings_;
  without_penalties.l1 = without_penalties.l2 = 0.0;
  if (!is_ftrl) finish<Number>(without_penalties);  // no column has missed a step
  is_behind_ = true;
}

StateDict OnlineLearner::state_dict() const {
  StateDict state;
  state.values = groups_value();
  state.values["steps"] = steps_;
  if (!columns_.defined()) return state;
  const std::string& prefix = groups_[0].names[weight_at_];
  // As integers, because some of the columns' numbers are none of their type.
  state.tensors[prefix + ".columns"] = columns_.view(is_double() ? at::kLong : at::kInt);
  state.tensors[prefix + ".settings"] = at::tensor(online_numbers(columns_settings_), at::kDouble);
  state.tensors[prefix + ".numbers"] =
      at::tensor(std::vector<double>{bias_, bias_squares_, bias_z_, shrunk_}, at::kDouble);
  return state;
}

void OnlineLearner::load_state_dict(const StateDict& state) {
  std::vector<std::string> problems;
  check_groups(state, problems);
  const std::string& prefix = groups_[0].names[weight_at_];
  const auto found = state.tensors.find(prefix + ".columns");
  const bool has_columns = found != state.tensors.end();
  const auto type = is_double() ? at::kLong : at::kInt;
  const std::vector<int64_t> shape{weight().size(-1), kernels::kOnlineNumbers};
  if (!has_columns && !state.tensors.empty()) {
    problems.push_back(fmt::format("'{}.columns' is missing", prefix));
  } else if (has_columns && (found->second.sizes() != at::IntArrayRef(shape) ||
                             found->second.scalar_type() != type)) {
    problems.push_back(fmt::format("'{}' is {} of {}, this optimizer's is {} of {}", found->first,
                                   c10::str(found->second.sizes()),
                                   c10::toString(found->second.scalar_type()),
                                   c10::str(at::IntArrayRef(shape)), c10::toString(type)));
  }
  if (!problems.empty()) {
    throw CheckpointError::mismatch("the state for this optimizer", problems);
  }
  load_groups(state);
  versions_ = versions();
  columns_.reset();
  steps_ = 0;
  is_behind_ = false;
  if (!has_columns) return;
  const auto numbers = state.tensor(prefix + ".numbers").to(at::kCPU, at::kDouble).contiguous();
  const double* n = numbers.const_data_ptr<double>();
  columns_settings_ = online_settings_from(state.tensor(prefix + ".settings"), own_);
  columns_ = empty_in_huge_pages(shape, weight().scalar_type());
  columns_.view(type).copy_(found->second);
  bias_ = n[0];
  bias_squares_ = n[1];
  bias_z_ = n[2];
  shrunk_ = n[3];
  steps_ = state.values.at("steps").as_int();
  is_behind_ = true;
}

}  // namespace levin
