#include <skv/skv.hpp>

int main() { return 0; }
