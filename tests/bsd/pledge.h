int pledge(const char *, const char *);
void closefrom(int);
