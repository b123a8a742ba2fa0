#include <levin/models/activation.h>

#include <vector>

#include <ATen/ops/clamp_min.h>
#include <ATen/ops/elu.h>
#include <ATen/ops/elu_backward.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/leaky_relu_backward.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sigmoid_backward.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tanh_backward.h>
#include <ATen/ops/threshold_backward.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

using torch::Tensor;

constexpr double kSlope = 0.01;  // of leaky_relu below 0

const Activation kActivations[] = {
    {"relu", [](const Tensor& x) { return at::relu(x); },
     [](Tensor& out, const Tensor& x) { at::clamp_min_out(out, x, 0); },
     [](Tensor& gradient, const Tensor& y) {
       at::threshold_backward_out(gradient, gradient, y, 0);
     },
     false},
    {"tanh", [](const Tensor& x) { return at::tanh(x); },
     [](Tensor& out, const Tensor& x) { at::tanh_out(out, x); },
     [](Tensor& gradient, const Tensor& y) { at::tanh_backward_out(gradient, gradient, y); },
     false},
    {"sigmoid", [](const Tensor& x) { return at::sigmoid(x); },
     [](Tensor& out, const Tensor& x) { at::sigmoid_out(out, x); },
     [](Tensor& gradient, const Tensor& y) { at::sigmoid_backward_out(gradient, gradient, y); },
     false},
    {"gelu", [](const Tensor& x) { return at::gelu(x); },
     [](Tensor& out, const Tensor& x) { at::gelu_out(out, x); },
     [](Tensor& gradient, const Tensor& x) { at::gelu_backward_out(gradient, gradient, x); }, true},
    {"leaky_relu", [](const Tensor& x) { return at::leaky_relu(x, kSlope); },
     [](Tensor& out, const Tensor& x) { at::leaky_relu_out(out, x, kSlope); },
     [](Tensor& gradient, const Tensor& y) {
       at::leaky_relu_backward_out(gradient, gradient, y, kSlope, /*self_is_result=*/true);
     },
     false},
    {"elu", [](const Tensor& x) { return at::elu(x); },
     [](Tensor& out, const Tensor& x) { at::elu_out(out, x); },
     [](Tensor& gradient, const Tensor& y) {
       at::elu_backward_out(gradient, gradient, 1, 1, 1, /*is_result=*/true, y);
     },
     false},
    {"silu", [](const Tensor& x) { return at::silu(x); },
     [](Tensor& out, const Tensor& x) { at::silu_out(out, x); },
     [](Tensor& gradient, const Tensor& x) { at::silu_backward_out(gradient, gradient, x); }, true},
    {"identity", [](const Tensor& x) { return x; },
     [](Tensor& out, const Tensor& x) {
       if (!out.is_same(x)) out.copy_(x);
     },
     [](Tensor&, const Tensor&) {}, false},
};

}  // namespace

const Activation& find_activation(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& activation : kActivations) {
    if (name == activation.name) return activation;
    known.emplace_back(activation.name);
  }
  throw ConfigError::unknown_name("activation", name, known);
}

}  // namespace levin
