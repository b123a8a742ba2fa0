#include "models/support.h"

#include <vector>

#include <levin/framework/core/error.h>
#include <levin/framework/threads/step_work.h>
#include <levin/models/linear.h>
#include <levin/models/sparse_linear.h>

#include "framework/message_of.h"

namespace levin::sparse_linear_test {

using test::message_of;
using test::says;

struct Case {
  torch::Tensor x;  // dense, mostly zeros
  torch::Tensor weight;
  torch::Tensor bias;
};

Case make_case(int64_t rows, int64_t in, int64_t out, at::ScalarType type) {
  torch::manual_seed(9);
  const auto options = torch::TensorOptions(type);
  return {torch::randn({rows, in}, options) * torch::rand({rows, in}).lt(0.2),
          torch::randn({out, in}, options).requires_grad_(),
          torch::randn({out}, options).requires_grad_()};
}

/// A CSR tensor with int32 indices.
torch::Tensor with_short_indices(const torch::Tensor& csr) {
  return at::_sparse_csr_tensor_unsafe(csr.crow_indices().to(torch::kInt),
                                       csr.col_indices().to(torch::kInt), csr.values(), csr.sizes(),
                                       csr.values().options().layout(torch::kSparseCsr));
}

/// The output and the gradients of a function of it.
std::vector<torch::Tensor> results(const Case& given, const torch::Tensor& x, bool has_bias) {
  const auto out = linear(x, given.weight, has_bias ? given.bias : torch::Tensor());
  std::vector<torch::Tensor> inputs{given.weight};
  if (has_bias) inputs.push_back(given.bias);
  auto gradients = torch::autograd::grad({out.sin().sum()}, inputs);
  gradients.insert(gradients.begin(), out);
  return gradients;
}

TEST(SparseLinear, gives_the_outputs_and_gradients_of_dense_rows) {
  for (const auto type : {torch::kFloat, torch::kDouble}) {
    for (const int64_t out : {1, 3}) {
      for (const bool has_bias : {true, false}) {
        const auto given = make_case(17, 40, out, type);
        const auto csr = given.x.to_sparse_csr();
        const auto expected = results(given, given.x, has_bias);
        for (const auto& x : {csr, with_short_indices(csr)}) {
          const auto found = results(given, x, has_bias);
          ASSERT_EQ(found.size(), expected.size());
          for (size_t i = 0; i < found.size(); ++i) {
            EXPECT_TENSORS_NEAR(found[i], expected[i], type == torch::kFloat ? 1e-5 : 1e-13);
          }
        }
      }
    }
  }
}

TEST(SparseLinear, is_differentiated_twice_and_three_times) {
  const auto given = make_case(11, 15, 2, torch::kDouble);
  const auto derivatives = [&given](const torch::Tensor& x) {
    const auto loss = linear(x, given.weight, given.bias).pow(4).sum();
    std::vector<torch::Tensor> found;
    auto next = loss;
    for (int order = 0; order < 3; ++order) {
      auto gradients = torch::autograd::grad({next}, {given.weight, given.bias}, {}, true, true);
      next = gradients[0].square().sum() + gradients[1].sin().sum();
      found.insert(found.end(), gradients.begin(), gradients.end());
    }
    return found;
  };
  const auto found = derivatives(given.x.to_sparse_csr());
  const auto expected = derivatives(given.x);
  for (size_t i = 0; i < found.size(); ++i) {
    const double scale = expected[i].abs().max().item<double>();
    EXPECT_TENSORS_NEAR(found[i] / scale, expected[i] / scale, 1e-12);
  }
}

TEST(SparseLinear, needs_no_graph_and_takes_no_rows) {
  const auto given = make_case(6, 7, 2, torch::kFloat);
  const torch::NoGradGuard no_grad;
  const auto found = linear(given.x.to_sparse_csr(), given.weight, given.bias);
  EXPECT_FALSE(found.requires_grad());
  EXPECT_TENSORS_NEAR(found, torch::linear(given.x, given.weight, given.bias), 1e-6);
  const auto none = linear(torch::zeros({0, 7}).to_sparse_csr(), given.weight, given.bias);
  EXPECT_EQ(none.sizes(), (std::vector<int64_t>{0, 2}));
}

TEST(SparseLinear, refuses_inputs_that_need_a_gradient) {
  const auto given = make_case(6, 7, 2, torch::kFloat);
  const auto x = given.x.to_sparse_csr().requires_grad_();
  EXPECT_TRUE(says(message_of<ModuleError>([&] { linear(x, given.weight, given.bias); }),
                   {"requires a gradient", "to_dense()"}));
}

TEST(SparseLinear, sparse_gradients_have_the_columns_that_occur_and_the_numbers_of_dense_ones) {
  for (const auto type : {torch::kFloat, torch::kDouble}) {
    for (const int64_t out : {1, 3}) {
      for (const int64_t in : {40, 5000}) {
        const auto given = make_case(17, in, out, type);
        given.x.narrow(1, 5, in / 2).zero_();
        for (const auto& x :
             {given.x.to_sparse_csr(), with_short_indices(given.x.to_sparse_csr())}) {
          const auto gradient = [&](bool is_sparse) {
            const auto outputs = sparse_linear(x, given.weight, given.bias, is_sparse);
            return torch::autograd::grad({outputs.sin().sum()}, {given.weight})[0];
          };
          const auto sparse = gradient(true);
          ASSERT_EQ(sparse.layout(), torch::kSparse);
          EXPECT_TRUE(sparse.is_coalesced());
          EXPECT_TRUE(torch::equal(sparse.to_dense(), gradient(false)));
          const auto occurring = given.x.ne(0).any(0).nonzero().flatten();
          EXPECT_TRUE(torch::equal(sparse.indices()[1], occurring.repeat({out})));
          EXPECT_TRUE(torch::equal(sparse.indices()[0],
                                   torch::arange(out).repeat_interleave(occurring.size(0))));
        }
      }
    }
  }
  const auto given = make_case(4, 6, 1, torch::kFloat);
  const auto none = sparse_linear(torch::zeros({4, 6}).to_sparse_csr(), given.weight, {}, true);
  const auto empty = torch::autograd::grad({none.sum()}, {given.weight})[0];
  EXPECT_EQ(empty.layout(), torch::kSparse);
  EXPECT_EQ(empty._nnz(), 0);
}

TEST(SparseLinear, refuses_entries_that_no_weight_belongs_to) {
  const auto weight = torch::ones({1, 5});
  const auto refuse = [&](const torch::Tensor& offsets, const torch::Tensor& columns) {
    for (const auto type : {torch::kInt, torch::kLong}) {
      const auto x =
          at::_sparse_csr_tensor_unsafe(offsets.to(type), columns.to(type), torch::ones(2), {2, 5});
      EXPECT_TRUE(
          says(message_of<DataError>([&] { levin::linear(x, weight); }), {"[2, 5]", "columns"}));
    }
  };
  refuse(torch::tensor({0, 1, 2}), torch::tensor({0, 5}));
  refuse(torch::tensor({0, 1, 2}), torch::tensor({-1, 0}));
  refuse(torch::tensor({0, 3, 2}), torch::tensor({0, 1}));
  refuse(torch::tensor({0, 1, 9}), torch::tensor({0, 1}));
  EXPECT_ANY_THROW(levin::linear(torch::ones({2, 6}).to_sparse_csr(), weight)) << "another width";
}

// Otherwise the first step on a million columns would seem to pay for many threads.
TEST(SparseLinear, work_is_counted_by_entries) {
  const auto x = at::_sparse_csr_tensor_unsafe(torch::tensor({0, 1, 2}), torch::tensor({0, 5}),
                                               torch::ones(2), {2, 1 << 28});
  const StepWork work;
  for (int i = 0; i < 10; ++i) x.mul(2.0);
  EXPECT_LT(work.seconds(1), 1e-5);
}

}  // namespace levin::sparse_linear_test
