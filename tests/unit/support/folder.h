/* Folders of a test's own. */
#ifndef DISTGUARD_TESTS_FOLDER_H
#define DISTGUARD_TESTS_FOLDER_H

/* Removes a folder and the files in it; folders within it stay, and it with them. */
void folder_remove(const char *path);

#endif
