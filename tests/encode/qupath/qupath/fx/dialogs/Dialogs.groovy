package qupath.fx.dialogs

/** Answers what the test set, and writes down what a user would see. */
class Dialogs {
    static String showInputDialog(String title, String message, String initialInput) {
        println "asked: ${message}"
        return System.getenv('TEST_SERIES')
    }

    static <T> T showChoiceDialog(String title, String message, Collection<T> choices, T defaultChoice) {
        println "choices: ${choices.join(', ')}"
        return defaultChoice
    }

    static void showErrorMessage(String title, String message) { println "error: ${message}" }

    static void showInfoNotification(String title, String message) { println "info: ${message}" }
}
