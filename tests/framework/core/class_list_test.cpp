#include <levin/framework/core/class_list.h>

#include <gtest/gtest.h>

#include "framework/message_of.h"

// Classes by name: how they are found, made and refused.

namespace levin::class_list_test {

using test::message_of;

struct Shape {
  virtual ~Shape() = default;
  virtual double area() const = 0;
};

struct SquareOptions {
  double side = 2.0;
};
Fields describe(SquareOptions& o) {
  return fields_of<SquareOptions>({{"side", &o.side, "its length"}});
}
class Square : public Shape {
 public:
  using Options = SquareOptions;
  Square(double unit, SquareOptions options) : area_(unit * options.side * options.side) {
    if (options.side < 0) {
      throw ConfigError::invalid_value("side", std::to_string(options.side), "must be at least 0");
    }
  }
  double area() const override { return area_; }

 private:
  double area_;
};

/// The same with the options first.
struct Backwards : Square {
  Backwards(SquareOptions options, double unit) : Square(unit, options) {}
};
/// Made from the options alone.
struct Unitless : Square {
  explicit Unitless(SquareOptions options) : Square(100.0, options) {}
};

/// Without settings, made from the argument.
class Circle : public Shape {
 public:
  explicit Circle(double unit) : area_(3.0 * unit) {}
  double area() const override { return area_; }

 private:
  double area_;
};
/// Without settings, made from nothing.
struct Point : Shape {
  double area() const override { return 0.0; }
};
/// Inherits the name Options, but has no constructor from them.
struct UnitSquare : Square {
  UnitSquare() : Square(1.0, {.side = 1.0}) {}
};

using Shapes = ClassList<Shape, double>;

Shapes shapes() {
  Shapes list;
  list.add<Square>("Square", "four sides");
  list.add<Backwards>("Backwards");
  list.add<Unitless>("Unitless");
  return list;
}

TEST(ClassList, makes_an_object_from_settings_by_name_and_its_arguments) {
  const Shapes list = shapes();
  EXPECT_EQ(list.make("Square", {}, 10.0)->area(), 40.0);
  EXPECT_EQ(list.make("Square", Value::Object{{"side", 3}}, 10.0)->area(), 90.0);
  EXPECT_EQ(list.make("Backwards", {}, 10.0)->area(), 40.0);
  EXPECT_EQ(list.make("Unitless", {}, 10.0)->area(), 400.0);
}

TEST(ClassList, a_class_without_settings_needs_no_options) {
  Shapes list;
  list.add<Circle>("Circle");
  list.add<Point>("Point");
  list.add<UnitSquare>("UnitSquare");
  EXPECT_EQ(list.make("Circle", {}, 2.0)->area(), 6.0);
  EXPECT_EQ(list.make("Point", Value::Object{}, 2.0)->area(), 0.0);
  EXPECT_EQ(list.make("UnitSquare", {}, 2.0)->area(), 1.0);
  EXPECT_TRUE(list.at("Circle").draft().fields.empty());
  EXPECT_EQ(message_of<ConfigError>([&] {
              list.make("Circle", Value::Object{{"radius", 1}}, 1.0);
            }),
            "Circle: unknown key 'radius'; there are none");
}

TEST(ClassList, a_draft_keeps_its_settings_until_it_is_made) {
  const Shapes list = shapes();
  const auto draft = list.at("Square").draft();
  const auto other = list.at("Square").draft();
  draft.fields[0].set(5.0);
  EXPECT_EQ(draft.make(1.0)->area(), 25.0);
  draft.fields[0].set(6.0);
  EXPECT_EQ(draft.make(1.0)->area(), 36.0);
  EXPECT_EQ(other.make(1.0)->area(), 4.0);
}

TEST(ClassList, keeps_the_order_and_replaces_a_class_of_the_same_name) {
  Shapes list = shapes();
  const Shapes before = list;
  list.add<Unitless>("Square", "another");
  EXPECT_EQ(list.names(), (std::vector<std::string>{"Square", "Backwards", "Unitless"}));
  EXPECT_EQ(list.entries()[0].help, "another");
  EXPECT_EQ(list.make("Square", {}, 1.0)->area(), 400.0);
  EXPECT_EQ(before.make("Square", {}, 1.0)->area(), 4.0);  // copies are independent
}

TEST(ClassList, finds_a_class_by_its_qualified_name) {
  Shapes list = shapes();
  EXPECT_EQ(list.find("shapes.Square"), &list.entries()[0]);
  EXPECT_EQ(list.find("shapes::Square"), &list.entries()[0]);
  EXPECT_EQ(list.find("Squar"), nullptr);
  list.add<Unitless>("shapes.Square");
  EXPECT_EQ(list.find("shapes.Square"), &list.entries()[3]);
}

TEST(ClassList, an_unknown_class_is_called_what_the_list_is_of) {
  Shapes list("shape");
  list.add<Square>("Square");
  const std::string message = "unknown shape 'Sqare'; did you mean 'Square'?";
  EXPECT_EQ(message_of<ConfigError>([&] { list.at("Sqare"); }), message);
  EXPECT_EQ(message_of<ConfigError>([&] { list.make("Sqare", {}, 1.0); }), message);
}

TEST(ClassList, refuses_what_is_wrong_and_says_where) {
  const Shapes list = shapes();
  EXPECT_EQ(message_of<ConfigError>([&] { list.make("Sqare", {}, 1.0); }),
            "unknown class 'Sqare'; did you mean 'Square'?");
  EXPECT_EQ(message_of<ConfigError>([&] {
              list.make("Square", Value::Object{{"sides", 1}}, 1.0);
            }),
            "Square: unknown key 'sides'; did you mean 'side'?");
  EXPECT_EQ(message_of<ConfigError>([&] {
              list.make("Square", Value::Object{{"side", "long"}}, 1.0);
            }),
            "Square: side = \"long\": expected float");
  EXPECT_EQ(message_of<ConfigError>([&] {
              list.make("Square", Value::Object{{"side", -1}}, 1.0);
            }),
            "Square: side = -1.000000: must be at least 0");
  EXPECT_EQ(message_of<ConfigError>([&] { list.make("Square", 3, 1.0); }),
            "Square: expected settings by name, found 3");
}

}  // namespace levin::class_list_test
