#include <levin/callbacks/parameters_to_prune.h>
#include <levin/framework/core/error.h>

#include "callbacks/fixture.h"
#include "framework/message_of.h"

namespace levin::test::parameters_to_prune_test {

class Net : public Module {
 public:
  Net() {
    register_module("first", torch::nn::Linear(4, 3));
    register_module("norm", torch::nn::BatchNorm1d(3));
    register_module("second", torch::nn::Linear(3, 2));
  }
};

std::vector<std::string> chosen(const std::vector<std::string>& names, PruningChoice choice = {}) {
  std::vector<std::string> found;
  for (const auto& [name, tensor] : parameters_to_prune(Net(), names, choice)) {
    found.push_back(name);
  }
  return found;
}

TEST(ParametersToPrune, are_the_weights_of_layers_unless_named) {
  using Found = std::vector<std::string>;
  EXPECT_EQ(chosen({}), (Found{"first.weight", "second.weight"}));
  EXPECT_EQ(chosen({"second.bias", "norm.weight"}), (Found{"norm.weight", "second.bias"}));
}

TEST(ParametersToPrune, what_does_not_exist_is_refused) {
  EXPECT_TRUE(says(message_of<ConfigError>([] { chosen({"frist.weight"}); }),
                   {"ModelPruning.parameters", "did you mean 'first.weight'?"}));
  EXPECT_TRUE(says(message_of<ConfigError>([] { chosen({}, {.fn = "ln_structured", .dim = 2}); }),
                   {"ModelPruning.pruning_dim = 2", "'first.weight' has 2 dimensions"}));
  EXPECT_TRUE(says(message_of<ConfigError>([] { parameters_to_prune(Module(), {}, {}); }),
                   {"no weights of layers"}));
}

}  // namespace levin::test::parameters_to_prune_test
