#include <levin/cli/command_line.h>

int main(int argc, char** argv) {
  return levin::run_command_line(argc, argv, levin::shipped_classes());
}
