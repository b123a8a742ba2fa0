#include <levin/framework/core/type_name.h>

#include <gtest/gtest.h>

// The names of C++ types, as checkpoints and messages give them.

namespace levin::type_name_test {

struct Base {
  virtual ~Base() = default;
};
struct Named : Base {};
template <class T>
struct Holder : Base {};

TEST(TypeName, has_no_namespaces) {
  struct Local : Base {};
  EXPECT_EQ(unqualified_name(typeid(Named)), "Named");
  EXPECT_EQ(unqualified_name(typeid(Local)), "Local");
  EXPECT_EQ(unqualified_name(typeid(Holder<Named>)), "Holder<levin::type_name_test::Named>");
  EXPECT_EQ(without_namespaces("mine::(anonymous namespace)::Net"), "Net");
  EXPECT_EQ(without_namespaces("Net"), "Net");
}

TEST(TypeName, is_that_of_the_object_and_not_of_the_reference) {
  const Named named;
  const Base& base = named;
  EXPECT_EQ(unqualified_name(typeid(base)), "Named");
}

}  // namespace levin::type_name_test
