// Stands for a program of the bundle: it needs the C++ library.
#include <iostream>

int main() { std::cout << "a program\n"; }
