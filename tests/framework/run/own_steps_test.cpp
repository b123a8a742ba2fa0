#include <levin/framework/run/own_steps.h>

#include <gtest/gtest.h>

#include <levin/framework/run/module.h>

// Which steps a module overrides is known without calling any of them.

namespace levin::own_steps_test {

class Trains : public Module {
 public:
  torch::Tensor training_step(const Batch&, Step&) override { return {}; }
};
class Validates : public Trains {
 public:
  void validation_step(const Batch&, Step&) override {}

 private:
  void test_step(const Batch&, Step&) override {}  // private overrides count, too
};
class Inherits : public Validates {};
class PredictsSteps : public Module {
 public:
  NamedTensors predict_step(const Batch&, Step&) override { return {}; }
};
class Predicts : public Module {
 public:
  NamedTensors predict(const Batch&) override { return {}; }
};
class Before {
 public:
  virtual ~Before() = default;
  int64_t number = 1;
};
class Second : public Before, public Trains {
 public:
  void test_step(const Batch&, Step&) override {}
};

/// One letter for each step that the module has.
std::string steps(const Module& module) {
  const OwnSteps own = own_steps(module);
  return std::string(own.training ? "t" : "") + (own.validation ? "v" : "") +
         (own.test ? "T" : "") + (own.predict ? "p" : "");
}

TEST(OwnSteps, are_those_that_the_class_or_a_base_of_it_overrides) {
  EXPECT_EQ(steps(Module()), "");
  EXPECT_EQ(steps(Trains()), "t");
  EXPECT_EQ(steps(Validates()), "tvT");
  EXPECT_EQ(steps(Inherits()), "tvT");
  EXPECT_EQ(steps(Second()), "tT");  // Module isn't at the object's beginning
}

TEST(OwnSteps, either_function_for_predictions_will_do) {
  EXPECT_EQ(steps(Predicts()), "p");
  EXPECT_EQ(steps(PredictsSteps()), "p");
}

}  // namespace levin::own_steps_test
