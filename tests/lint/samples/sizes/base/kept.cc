int Kept() {
  return 1;
}
