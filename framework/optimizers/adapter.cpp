#include <levin/framework/optimizers/adapter.h>

#include <deque>
#include <set>

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/optimizers.h>

namespace levin {
namespace {

namespace optim = torch::optim;
using OptionsRef = const optim::OptimizerOptions&;

// What each class keeps for a parameter. `field(name, reference, needed)` is called for every
// member. `needed` says whether every state of this configuration has the member, so that a saved
// state without it belongs to another configuration.

template <class Field>
void visit(optim::SGDParamState& s, OptionsRef, Field&& field) {
  field("momentum_buffer", s.momentum_buffer(), true);
}

template <class State, class Options, class Field>
void visit_adam(State& s, OptionsRef options, Field&& field) {
  field("step", s.step(), true);
  field("exp_avg", s.exp_avg(), true);
  field("exp_avg_sq", s.exp_avg_sq(), true);
  field("max_exp_avg_sq", s.max_exp_avg_sq(), static_cast<const Options&>(options).amsgrad());
}

template <class Field>
void visit(optim::AdamParamState& s, OptionsRef options, Field&& field) {
  visit_adam<optim::AdamParamState, optim::AdamOptions>(s, options, field);
}

template <class Field>
void visit(optim::AdamWParamState& s, OptionsRef options, Field&& field) {
  visit_adam<optim::AdamWParamState, optim::AdamWOptions>(s, options, field);
}

template <class Field>
void visit(optim::RMSpropParamState& s, OptionsRef options, Field&& field) {
  const auto& o = static_cast<const optim::RMSpropOptions&>(options);
  field("step", s.step(), true);
  field("square_avg", s.square_avg(), true);
  field("momentum_buffer", s.momentum_buffer(), o.momentum() > 0.0);
  field("grad_avg", s.grad_avg(), o.centered());
}

template <class Field>
void visit(optim::AdagradParamState& s, OptionsRef, Field&& field) {
  field("step", s.step(), true);
  field("sum", s.sum(), true);
}

// Its `al` is scratch space, written before it is read.
template <class Field>
void visit(optim::LBFGSParamState& s, OptionsRef, Field&& field) {
  field("func_evals", s.func_evals(), true);
  field("n_iter", s.n_iter(), true);
  field("t", s.t(), true);
  field("prev_loss", s.prev_loss(), true);
  field("d", s.d(), false);
  field("H_diag", s.H_diag(), false);
  field("prev_flat_grad", s.prev_flat_grad(), false);
  field("old_dirs", s.old_dirs(), true);
  field("old_stps", s.old_stps(), true);
  field("ro", s.ro(), true);
}

struct Saver {
  StateDict& state;
  const std::string& parameter;
  Value& numbers;

  void operator()(const char* name, int64_t& number, bool) { numbers[name] = number; }
  void operator()(const char* name, double& number, bool) { numbers[name] = number; }
  void operator()(const char* name, torch::Tensor& tensor, bool) {
    if (tensor.defined()) state.tensors[fmt::format("{}.{}", parameter, name)] = tensor;
  }
  void operator()(const char* name, std::deque<torch::Tensor>& list, bool) {
    numbers[name] = static_cast<int64_t>(list.size());
    for (size_t i = 0; i < list.size(); ++i) {
      state.tensors[fmt::format("{}.{}.{}", parameter, name, i)] = list[i];
    }
  }
};

struct Loader {
  const StateDict& state;
  const std::string& parameter;
  const Value& numbers;
  const torch::Tensor& like;
  bool same_shape;  // state tensors have the parameter's shape
  std::set<std::string>& used;
  std::vector<std::string>& problems;

  const Value* number(const char* name) {
    if (numbers.contains(name)) return &numbers.at(name);
    problems.push_back(fmt::format("missing: {}.{}", parameter, name));
    return nullptr;
  }
  void operator()(const char* name, int64_t& out, bool) {
    if (const auto* value = number(name)) out = value->as_int();
  }
  void operator()(const char* name, double& out, bool) {
    if (const auto* value = number(name)) out = value->as_double();
  }
  void operator()(std::string_view name, torch::Tensor& out, bool needed) {
    const std::string key = fmt::format("{}.{}", parameter, name);
    const auto saved = state.tensors.find(key);
    if (saved == state.tensors.end()) {
      if (needed) problems.push_back("missing: " + key);
      return;
    }
    used.insert(key);
    const auto& tensor = saved->second;
    if (tensor.scalar_type() != like.scalar_type() ||
        (same_shape && tensor.sizes() != like.sizes())) {
      problems.push_back(fmt::format("{} is {} {}, here {} {}", key, c10::str(tensor.sizes()),
                                     c10::toString(tensor.scalar_type()), c10::str(like.sizes()),
                                     c10::toString(like.scalar_type())));
      return;
    }
    out = same_shape ? at::empty_like(like).copy_(tensor)
                     : tensor.to(like.device(), like.scalar_type(), false, /*copy=*/true);
  }
  void operator()(const char* name, std::deque<torch::Tensor>& out, bool needed) {
    const auto* size = number(name);
    if (size == nullptr) return;
    out.clear();
    for (int64_t i = 0; i < size->as_int(); ++i) {
      (*this)(fmt::format("{}.{}", name, i), out.emplace_back(), needed);
    }
  }
};

// One known class: how to recognise it, and how its state is saved and loaded.
struct KnownClass {
  const char* name;
  bool (*is)(const optim::Optimizer&);
  void (*save)(optim::OptimizerParamState&, OptionsRef, Saver);
  std::unique_ptr<optim::OptimizerParamState> (*load)(OptionsRef, Loader);
};

template <class O, class S>
KnownClass known_class(const char* name) {
  return {name, [](const optim::Optimizer& o) { return dynamic_cast<const O*>(&o) != nullptr; },
          [](optim::OptimizerParamState& s, OptionsRef options, Saver saver) {
            visit(static_cast<S&>(s), options, saver);
          },
          [](OptionsRef options, Loader loader) {
            auto state = std::make_unique<S>();
            visit(*state, options, loader);
            return std::unique_ptr<optim::OptimizerParamState>(std::move(state));
          }};
}

const KnownClass* find_class(const optim::Optimizer& optimizer) {
  static const std::vector<KnownClass> classes = {
      known_class<optim::SGD, optim::SGDParamState>("SGD"),
      known_class<optim::Adam, optim::AdamParamState>("Adam"),
      known_class<optim::AdamW, optim::AdamWParamState>("AdamW"),
      known_class<optim::RMSprop, optim::RMSpropParamState>("RMSprop"),
      known_class<optim::Adagrad, optim::AdagradParamState>("Adagrad"),
      known_class<optim::LBFGS, optim::LBFGSParamState>("LBFGS"),
  };
  for (const auto& each : classes) {
    if (each.is(optimizer)) return &each;
  }
  return nullptr;
}

/// For callbacks that log it: the wrapped optimizer goes by its own options.
double weight_decay_of(OptionsRef options) {
  if (const auto* o = dynamic_cast<const optim::SGDOptions*>(&options)) return o->weight_decay();
  if (const auto* o = dynamic_cast<const optim::AdamOptions*>(&options)) return o->weight_decay();
  if (const auto* o = dynamic_cast<const optim::AdamWOptions*>(&options)) return o->weight_decay();
  if (const auto* o = dynamic_cast<const optim::RMSpropOptions*>(&options)) {
    return o->weight_decay();
  }
  if (const auto* o = dynamic_cast<const optim::AdagradOptions*>(&options)) {
    return o->weight_decay();
  }
  return 0.0;
}

/// Returns the groups of `optimizer`, in which each parameter is left only once: LibTorch's classes
/// would change it as often as it is listed.
std::vector<ParameterGroup> groups_of(optim::Optimizer* optimizer) {
  if (optimizer == nullptr) {
    throw ConfigError::invalid_value("optimizer", "null", "must point to a torch::optim optimizer");
  }
  if (find_class(*optimizer) == nullptr) {
    throw ConfigError::invalid_value(
        "optimizer", "an unknown torch::optim class",
        "must be SGD, Adam, AdamW, RMSprop, Adagrad, LBFGS or a subclass; for another one, write a "
        "subclass of levin::Optimizer");
  }
  std::vector<ParameterGroup> groups;
  for (auto& group : optimizer->param_groups()) {
    group.params() = each_parameter_once(std::move(group.params()));
    groups.emplace_back();
    groups.back().parameters = group.params();
    groups.back().learning_rate = group.options().get_lr();
    groups.back().weight_decay = weight_decay_of(group.options());
  }
  return groups;
}

}  // namespace

std::unique_ptr<Optimizer> adapt(std::unique_ptr<torch::optim::Optimizer> optimizer) {
  return std::make_unique<TorchAdapter>(std::move(optimizer));
}

TorchAdapter::TorchAdapter(std::unique_ptr<torch::optim::Optimizer> optimizer)
    : Optimizer(groups_of(optimizer.get()), 0.0, 0.0), optimizer_(std::move(optimizer)) {}
TorchAdapter::TorchAdapter(TorchAdapter&&) noexcept = default;
TorchAdapter& TorchAdapter::operator=(TorchAdapter&&) noexcept = default;
TorchAdapter::~TorchAdapter() = default;

std::optional<double> TorchAdapter::momentum(size_t group) const {
  const auto& options = optimizer_->param_groups().at(group).options();
  if (const auto* o = dynamic_cast<const optim::SGDOptions*>(&options)) return o->momentum();
  if (const auto* o = dynamic_cast<const optim::RMSpropOptions*>(&options)) return o->momentum();
  if (const auto* o = dynamic_cast<const optim::AdamOptions*>(&options)) {
    return std::get<0>(o->betas());
  }
  if (const auto* o = dynamic_cast<const optim::AdamWOptions*>(&options)) {
    return std::get<0>(o->betas());
  }
  return {};
}

std::string TorchAdapter::name() const { return find_class(*optimizer_)->name; }

bool TorchAdapter::reevaluates_closure() const {
  return dynamic_cast<const optim::LBFGS*>(optimizer_.get()) != nullptr;
}

torch::Tensor TorchAdapter::step(const Closure& closure) {
  if (!closure && reevaluates_closure()) {
    throw ModuleError::contract(name(), "step() was called without a closure",
                                "give a function that computes the loss and its gradients");
  }
  torch::Tensor loss;
  if (!evaluate(closure, loss) || found_inf_on_host()) return loss;
  for (size_t i = 0; i < groups_.size(); ++i) {
    optimizer_->param_groups()[i].options().set_lr(groups_[i].learning_rate);
  }
  prepare_gradients();
  if (!reevaluates_closure()) {
    optimizer_->step();
    return loss;
  }
  bool first = true;
  optimizer_->step([&] {
    if (std::exchange(first, false)) return loss;
    auto next = closure();
    prepare_gradients();
    return next;
  });
  return loss;
}

void TorchAdapter::prepare_gradients() {
  if (!grad_scale_.defined()) return;
  const at::NoGradGuard no_grad;
  for (auto& group : groups_) {
    for (auto& parameter : group.parameters) {
      auto& gradient = parameter.mutable_grad();
      if (gradient.defined())
        gradient.div_(grad_scale_.to(gradient.device(), gradient.scalar_type()));
    }
  }
}

StateDict TorchAdapter::state_dict() const {
  const auto* kind = find_class(*optimizer_);
  StateDict result;
  result.values = groups_value();
  Value parameters = Value::Object{};
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (size_t i = 0; i < groups_[g].parameters.size(); ++i) {
      const auto found = optimizer_->state().find(groups_[g].parameters[i].unsafeGetTensorImpl());
      if (found == optimizer_->state().end()) continue;
      Value& numbers = parameters[groups_[g].names[i]];
      numbers = Value::Object{};
      kind->save(*found->second, optimizer_->param_groups()[g].options(),
                 Saver{result, groups_[g].names[i], numbers});
    }
  }
  result.values["parameters"] = std::move(parameters);
  return result;
}

void TorchAdapter::load_state_dict(const StateDict& state) {
  const at::NoGradGuard no_grad;
  const auto* kind = find_class(*optimizer_);
  std::vector<std::string> problems;
  check_groups(state, problems);
  const Value& parameters = state.values.at("parameters");
  std::set<std::string> used;
  std::vector<std::pair<void*, std::unique_ptr<optim::OptimizerParamState>>> loaded;
  for (size_t g = 0; problems.empty() && g < groups_.size(); ++g) {
    const auto& options = optimizer_->param_groups()[g].options();
    for (size_t i = 0; i < groups_[g].parameters.size(); ++i) {
      const auto& parameter = groups_[g].parameters[i];
      const auto& parameter_name = groups_[g].names[i];
      void* const key = parameter.unsafeGetTensorImpl();
      if (!parameters.contains(parameter_name)) {
        // Adagrad starts its state when it is made, the others at the first gradient.
        if (kind->name == std::string_view("Adagrad"))
          problems.push_back("missing: " + parameter_name);
        continue;
      }
      loaded.emplace_back(
          key, kind->load(options, {state, parameter_name, parameters.at(parameter_name), parameter,
                                    !reevaluates_closure(), used, problems}));
    }
  }
  for (const auto& [key, tensor] : state.tensors) {
    if (used.count(key) == 0) problems.push_back("unexpected: " + key);
  }
  if (!problems.empty()) throw CheckpointError::mismatch(name(), problems);

  load_groups(state);
  optimizer_->state().clear();
  for (auto& [key, parameter_state] : loaded) optimizer_->state()[key] = std::move(parameter_state);
}

}  // namespace levin
